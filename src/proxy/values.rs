//! Values that a program sends or is sent, as a person reads them.

use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::types;

use crate::postgres::type_oid::{BOOL, DATE, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, OID, TIMESTAMP, TIMESTAMPTZ};

const BYTEA: u32 = 17;
const JSONB: u32 = 3802;
const UUID: u32 = 2950;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Days from the first of March of the year 0 to the first of January 2000.
const DAYS_TO_2000: i64 = 730_425;

/// A value that is bound to a statement's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub binary: bool,
    pub bytes: Bytes,
}

/// A value's text, as the server prints it where its type is known; otherwise its bytes.
pub fn readable(type_oid: u32, binary: bool, bytes: &[u8]) -> String {
    if !binary {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    decoded(type_oid, bytes).unwrap_or_else(|| match std::str::from_utf8(bytes) {
        // texts, and what is written as one: enums, json, names
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => text.to_owned(),
        _ => hexadecimal(bytes),
    })
}

fn decoded(type_oid: u32, bytes: &[u8]) -> Option<String> {
    Some(match type_oid {
        BOOL => if types::bool_from_sql(bytes).ok()? { "t" } else { "f" }.to_owned(),
        INT2 => types::int2_from_sql(bytes).ok()?.to_string(),
        INT4 => types::int4_from_sql(bytes).ok()?.to_string(),
        INT8 => types::int8_from_sql(bytes).ok()?.to_string(),
        OID => types::oid_from_sql(bytes).ok()?.to_string(),
        FLOAT4 => types::float4_from_sql(bytes).ok()?.to_string(),
        FLOAT8 => types::float8_from_sql(bytes).ok()?.to_string(),
        NUMERIC => numeric(bytes)?,
        BYTEA => hexadecimal(bytes),
        JSONB => String::from_utf8_lossy(bytes.get(1..)?).into_owned(),
        UUID => uuid(bytes)?,
        DATE => date(i64::from(types::date_from_sql(bytes).ok()?)),
        TIMESTAMP => timestamp(types::timestamp_from_sql(bytes).ok()?),
        TIMESTAMPTZ => timestamp(types::timestamp_from_sql(bytes).ok()?) + "+00",
        _ => array(bytes)?,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{digits}")
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| digits.get(from..to);
    Some([part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-"))
}

/// Digits of four, weight, sign, and how many decimals are shown (PostgreSQL's `numeric_send`).
fn numeric(bytes: &[u8]) -> Option<String> {
    let word = |index: usize| {
        Some(i16::from_be_bytes(
            bytes.get(2 * index..2 * index + 2)?.try_into().ok()?,
        ))
    };
    let (count, weight, sign, decimals) = (word(0)?, word(1)?, word(2)? as u16, usize::try_from(word(3)?).ok()?);
    match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digit = |place: i32| match usize::try_from(place) {
        Ok(place) if place < usize::try_from(count).ok()? => word(4 + place),
        _ => Some(0),
    };
    let mut text = String::new();
    for place in 0..=i32::from(weight).max(0) {
        let group = digit(if weight < 0 { -1 } else { place })?;
        text += &if text.is_empty() {
            group.to_string()
        } else {
            format!("{group:04}")
        };
    }
    let text = text.trim_start_matches('0');
    let mut fraction = String::new();
    for place in 0..decimals.div_ceil(4) {
        fraction += &format!("{:04}", digit(i32::from(weight) + 1 + i32::try_from(place).ok()?)?);
    }
    fraction.truncate(decimals);
    let sign = if sign == 0x4000 { "-" } else { "" };
    let whole = if text.is_empty() { "0" } else { text };
    Some(match fraction.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{fraction}"),
    })
}

/// A date, by its days since the first of January 2000. After Howard Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*, `civil_from_days`.
fn date(days: i64) -> String {
    let days = days + DAYS_TO_2000;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn timestamp(microseconds: i64) -> String {
    let (days, time) = (microseconds.div_euclid(DAY), microseconds.rem_euclid(DAY));
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{} {clock}", date(days));
    match fraction {
        0 => text,
        _ => format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

/// An array of one dimension, as the server prints it.
fn array(bytes: &[u8]) -> Option<String> {
    let array = types::array_from_sql(bytes).ok()?;
    if array.dimensions().count().ok()? > 1 {
        return None;
    }
    let element = array.element_type();
    // anything that begins like one is not one: an element's type has a number
    if element == 0 {
        return None;
    }
    let values: Vec<String> = array
        .values()
        .map(|value| {
            Ok(match value {
                None => "NULL".to_owned(),
                Some(bytes) => readable(element, true, bytes),
            })
        })
        .collect()
        .ok()?;
    Some(format!("{{{}}}", values.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_are_printed_as_the_server_does() {
        assert_eq!(readable(NUMERIC, true, &words(&[2, 0, 0, 2, 12, 3400])), "12.34");
        assert_eq!(readable(NUMERIC, true, &words(&[1, 1, 0x4000, 0, 5])), "-50000");
        assert_eq!(readable(NUMERIC, true, &words(&[1, -1, 0, 4, 42])), "0.0042");
        assert_eq!(readable(NUMERIC, true, &words(&[0, 0, 0, 2])), "0.00");
        assert_eq!(readable(NUMERIC, true, &words(&[0, 0, 0xC000_u16 as i16, 0])), "NaN");
    }

    #[test]
    fn times_count_from_2000() {
        assert_eq!(readable(DATE, true, &0i32.to_be_bytes()), "2000-01-01");
        assert_eq!(readable(DATE, true, &59i32.to_be_bytes()), "2000-02-29");
        assert_eq!(readable(DATE, true, &(-1i32).to_be_bytes()), "1999-12-31");
        assert_eq!(
            readable(TIMESTAMP, true, &(DAY + 1_500_000).to_be_bytes()),
            "2000-01-02 00:00:01.5"
        );
        assert_eq!(
            readable(TIMESTAMPTZ, true, &(-DAY).to_be_bytes()),
            "1999-12-31 00:00:00+00"
        );
    }

    #[test]
    fn what_is_not_understood_is_shown_as_text_or_bytes() {
        assert_eq!(readable(99_999, true, b"happy"), "happy");
        assert_eq!(readable(99_999, true, &[0, 255]), "\\x00ff");
        assert_eq!(readable(INT4, true, &[1]), "\\x01");
        assert_eq!(readable(INT4, false, b"7"), "7");
    }

    #[test]
    fn arrays_of_numbers_are_read() {
        let mut bytes = Vec::new();
        for word in [1i32, 0, 23, 2, 1, 4, 7, 4, 8] {
            bytes.extend(word.to_be_bytes());
        }
        assert_eq!(readable(1007, true, &bytes), "{7,8}");
    }
}
