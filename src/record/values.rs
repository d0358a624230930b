//! Comparing values.

use crate::postgres::type_oid::{BOOL, INT2, INT4, INT8, NUMERIC, TIMESTAMP, TIMESTAMPTZ};
use crate::postgres::wire::Value;

/// Whether a value may say where it comes from: one of few cannot.
pub fn is_telling(value: &Value) -> bool {
    match value.text.as_deref() {
        None | Some("" | "t" | "f" | "true" | "false") => false,
        Some(_) => value.type_oid != BOOL,
    }
}

/// Whether a value is hardly equal to another by chance.
pub fn is_distinctive(value: &Value) -> bool {
    const SHORT_NUMBER: usize = 3;
    const SHORT_TEXT: usize = 4;
    match value.text.as_deref() {
        None => false,
        Some(text) if text.chars().all(|c| c.is_ascii_digit()) => text.len() > SHORT_NUMBER,
        Some(text) => text.chars().count() >= SHORT_TEXT,
    }
}

/// A whole number.
pub fn whole(value: &Value) -> Option<i64> {
    value.text.as_ref()?.parse().ok()
}

/// A number, where the value's type is one.
pub fn number(value: &Value) -> Option<f64> {
    let is_number = matches!(value.type_oid, INT2 | INT4 | INT8 | NUMERIC);
    let text = value.text.as_ref().filter(|_| is_number)?;
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether two values are the same, however they are written.
pub fn same(one: &Value, other: &Value) -> bool {
    let canonical = |value: &Value, beside: &Value| -> Option<String> {
        let text = value.text.as_ref()?;
        let type_oid = match value.type_oid {
            0 => beside.type_oid,
            own => own,
        };
        Some(match type_oid {
            BOOL => match text.as_str() {
                "true" | "TRUE" | "1" | "on" | "yes" => "t".to_owned(),
                "false" | "FALSE" | "0" | "off" | "no" => "f".to_owned(),
                other => other.to_owned(),
            },
            INT2 | INT4 | INT8 => text.trim().parse::<i64>().map_or(text.clone(), |it| it.to_string()),
            TIMESTAMP | TIMESTAMPTZ => time(text),
            _ => text.clone(),
        })
    };
    canonical(one, other) == canonical(other, one)
}

/// A time as the server writes it, whichever way the program writes it.
fn time(text: &str) -> String {
    let text = text.trim().replacen('T', " ", 1).replace('Z', "+00");
    let (clock, zone) = match text.rfind(['+', '-']).filter(|place| *place > 10) {
        Some(place) => text.split_at(place),
        None => (text.as_str(), ""),
    };
    let clock = match clock.contains('.') {
        true => clock.trim_end_matches('0').trim_end_matches('.'),
        false => clock,
    };
    format!("{clock}{}", zone.trim_end_matches(":00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_however_they_are_written() {
        assert!(same(&Value::of_type(0, "true"), &Value::of_type(BOOL, "t")));
        assert!(same(&Value::of_type(0, "007"), &Value::of_type(INT4, "7")));
        let time = "2026-11-25 09:00:00.12+00";
        assert!(same(
            &Value::of_type(0, "2026-11-25T09:00:00.120000+00:00"),
            &Value::of_type(TIMESTAMPTZ, time)
        ));
        assert!(same(
            &Value::of_type(0, "2026-11-25T09:00:00Z"),
            &Value::of_type(TIMESTAMPTZ, "2026-11-25 09:00:00+00")
        ));
        assert!(!same(&Value::of_type(0, "7.0"), &Value::of_type(0, "7")));
        let null = Value {
            type_oid: 0,
            text: None,
        };
        assert!(same(&null, &null) && !same(&null, &Value::of_type(0, "")));
    }
}
