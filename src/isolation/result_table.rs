//! Rows in the format of `isolationtester`: aligned columns, numbers to the right. Widths are in bytes.

use bytes::Bytes;

use crate::postgres::wire::Rows;

/// Adds the table to `out`; rows without columns print nothing.
pub(super) fn print(rows: &Rows, out: &mut Vec<u8>) {
    if rows.columns.is_empty() {
        return;
    }
    let columns: Vec<Column> = rows
        .columns
        .iter()
        .enumerate()
        .map(|(index, name)| Column::new(name, rows.rows.iter().filter_map(|row| row.get(index)?.as_ref())))
        .collect();
    line(&columns, b'|', out, |index, column, out| {
        column.pad(rows.columns[index].as_bytes(), out);
    });
    line(&columns, b'+', out, |_, column, out| {
        out.resize(out.len() + column.width, b'-');
    });
    for row in &rows.rows {
        line(&columns, b'|', out, |index, column, out| {
            let value = row.get(index).and_then(Option::as_ref);
            column.pad(value.map_or(b"", |value| value), out);
        });
    }
    let plural = if rows.rows.len() == 1 { "" } else { "s" };
    out.extend_from_slice(format!("({} row{plural})\n\n", rows.rows.len()).as_bytes());
}

fn line(columns: &[Column], separator: u8, out: &mut Vec<u8>, cell: impl Fn(usize, &Column, &mut Vec<u8>)) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(separator);
        }
        cell(index, column, out);
    }
    out.push(b'\n');
}

struct Column {
    width: usize,
    numeric: bool,
}

impl Column {
    fn new<'a>(name: &str, values: impl Iterator<Item = &'a Bytes>) -> Column {
        let mut column = Column {
            width: name.len(),
            numeric: true,
        };
        for value in values.filter(|value| !value.is_empty()) {
            column.width = column.width.max(value.len());
            column.numeric &= looks_numeric(value);
        }
        column
    }

    fn pad(&self, text: &[u8], out: &mut Vec<u8>) {
        let end = out.len() + text.len().max(self.width);
        if self.numeric {
            out.resize(end - text.len(), b' ');
        }
        out.extend_from_slice(text);
        out.resize(end, b' ');
    }
}

/// Not a check of syntax: the characters of numbers, an exponent not first, a digit last.
fn looks_numeric(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'E' | b'e' | b' ' | b'-'))
        && !matches!(value.first(), Some(b'E' | b'e'))
        && value.last().is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(columns: &[&str], rows: &[&[Option<&str>]]) -> String {
        let cell = |cell: &Option<&str>| cell.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let rows = Rows {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
        };
        let mut out = Vec::new();
        print(&rows, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_to_the_right_and_text_to_the_left() {
        let table = printed(
            &["id", "name"],
            &[&[Some("1"), Some("a")], &[Some("-20.5"), Some("bcdef")]],
        );
        assert_eq!(
            table,
            "   id|name \n-----+-----\n    1|a    \n-20.5|bcdef\n(2 rows)\n\n"
        );
    }

    #[test]
    fn one_value_that_is_no_number_makes_the_column_text() {
        assert_eq!(
            printed(&["n"], &[&[Some("10")], &[Some("t")]]),
            "n \n--\n10\nt \n(2 rows)\n\n"
        );
        assert_eq!(printed(&["n"], &[&[Some("e1")]]), "n \n--\ne1\n(1 row)\n\n");
        assert_eq!(printed(&["n"], &[&[Some("1.")]]), "n \n--\n1.\n(1 row)\n\n");
        assert_eq!(printed(&["nn"], &[&[Some("1")]]), "nn\n--\n 1\n(1 row)\n\n");
    }

    #[test]
    fn nulls_and_empty_texts_say_nothing_about_their_column() {
        assert_eq!(
            printed(&["long", "b"], &[&[None, Some("")], &[Some("1"), Some("x")]]),
            "long|b\n----+-\n    | \n   1|x\n(2 rows)\n\n"
        );
    }

    #[test]
    fn widths_are_in_bytes() {
        assert_eq!(
            printed(&["a"], &[&[Some("é")], &[Some("xyz")]]),
            "a  \n---\né \nxyz\n(2 rows)\n\n"
        );
    }

    #[test]
    fn no_columns_print_nothing() {
        assert_eq!(printed(&[], &[&[]]), "");
        assert_eq!(printed(&["a"], &[]), "a\n-\n(0 rows)\n\n");
    }
}
