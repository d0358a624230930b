//! Maps the characters of a TOML string's value to their places in the file.

/// A string's value, and the byte offset in the file for each of its bytes and for its end.
pub(super) struct Decoded {
    pub text: String,
    pub offsets: Vec<usize>,
}

/// Decodes a string as written, quotes included, that begins at `start` in the file. A line break is `\n` however the
/// file writes it. `None` where it is not a TOML string.
pub(super) fn decode(written: &str, start: usize) -> Option<Decoded> {
    let (quote, multiline) = if written.starts_with("\"\"\"") {
        ("\"\"\"", true)
    } else if written.starts_with("'''") {
        ("'''", true)
    } else if written.starts_with('"') {
        ("\"", false)
    } else {
        ("'", false)
    };
    let escapes = quote.starts_with('"');
    let mut body = written.strip_prefix(quote)?.strip_suffix(quote)?;
    if multiline {
        body = body
            .strip_prefix("\r\n")
            .or_else(|| body.strip_prefix('\n'))
            .unwrap_or(body);
    }
    let end = start + written.len() - quote.len();

    let mut decoded = Decoded {
        text: String::with_capacity(body.len()),
        offsets: Vec::with_capacity(body.len() + 1),
    };
    while let Some(first) = body.chars().next() {
        let offset = end - body.len();
        if first == '\\' && escapes {
            body = &body[1..];
            match escape(body)? {
                Escape::Char(value, length) => {
                    decoded.push(value, |_| offset);
                    body = &body[length..];
                }
                Escape::LineEnd => body = body.trim_start_matches([' ', '\t', '\r', '\n']),
            }
        } else if let Some(rest) = body.strip_prefix("\r\n") {
            decoded.push('\n', |_| offset);
            body = rest;
        } else {
            decoded.push(first, |byte| offset + byte);
            body = &body[first.len_utf8()..];
        }
    }
    decoded.offsets.push(end);
    Some(decoded)
}

impl Decoded {
    fn push(&mut self, value: char, offset: impl Fn(usize) -> usize) {
        self.text.push(value);
        self.offsets.extend((0..value.len_utf8()).map(offset));
    }
}

enum Escape {
    /// The character, and how many bytes of the file it takes after the backslash.
    Char(char, usize),
    /// A backslash that ends a line removes all blank space after it.
    LineEnd,
}

fn escape(after_backslash: &str) -> Option<Escape> {
    let hex = |digits: usize| {
        let code = u32::from_str_radix(after_backslash.get(1..1 + digits)?, 16).ok()?;
        Some(Escape::Char(char::from_u32(code)?, 1 + digits))
    };
    let value = match after_backslash.chars().next()? {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        '"' => '"',
        '\\' => '\\',
        'x' => return hex(2),
        'u' => return hex(4),
        'U' => return hex(8),
        ' ' | '\t' | '\r' | '\n' => return Some(Escape::LineEnd),
        _ => return None,
    };
    Some(Escape::Char(value, 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Document {
        value: toml::Spanned<String>,
    }

    /// Reads a file with one string, and returns its value as the toml crate reads it, and as ours does.
    fn read(file: &str) -> (String, Decoded) {
        let document: Document = toml::from_str(file).expect("the test writes TOML");
        let span = document.value.span();
        let decoded = decode(&file[span.clone()], span.start).expect("the test writes a string");
        (document.value.into_inner(), decoded)
    }

    #[test]
    fn escapes_and_line_ends() {
        let file = "# é\r\nvalue = \"\"\"\r\n  a\\tb \\\r\n   c\\u00e9\\x41d \"q\"\r\ne\"\"\"\r\n";
        let (value, decoded) = read(file);
        assert_eq!(decoded.text, "  a\tb céAd \"q\"\ne");
        assert_eq!(decoded.text, value.replace("\r\n", "\n"));
        for wanted in ["c", "d \"q\"", "e"] {
            let index = decoded.text.rfind(wanted).unwrap();
            assert!(file[decoded.offsets[index]..].starts_with(wanted), "{wanted}");
        }
        let escaped = decoded.text.find('é').unwrap();
        assert!(file[decoded.offsets[escaped]..].starts_with("\\u00e9"));
        assert_eq!(
            decoded.offsets.last().copied(),
            file.find("\"\"\"\r\n#").or(file.rfind("\"\"\""))
        );
    }

    #[test]
    fn what_is_no_string_is_none() {
        for written in [
            "",
            "'",
            "\"",
            "\"\\\"",
            "\"\\u00\"",
            "\"\\q\"",
            "\"\\ud800\"",
            "1",
            "\"\"\"\"",
        ] {
            assert!(decode(written, 0).is_none(), "{written}");
        }
    }

    /// A character and a way to write it in a basic string, which may be an escape.
    fn basic_char() -> impl Strategy<Value = (char, String)> {
        (prop::char::any(), 0..4u8).prop_map(|(c, style)| {
            let must = c.is_control() || c == '"' || c == '\\';
            let written = match style {
                0 => format!("\\U{:08x}", c as u32),
                1 if (c as u32) < 0x10000 => format!("\\u{:04X}", c as u32),
                2 if c == '\n' => "\\n".to_owned(),
                _ if must => format!("\\u{:04x}", c as u32),
                _ => c.to_string(),
            };
            (c, written)
        })
    }

    fn literal_char() -> impl Strategy<Value = (char, String)> {
        prop::char::any()
            .prop_filter("a literal string writes it as it is", |c| !c.is_control() && *c != '\'')
            .prop_map(|c| (c, c.to_string()))
    }

    /// A line break, or a backslash that ends the line and stands for nothing.
    fn line_break(newline: &'static str, escapes: bool) -> impl Strategy<Value = (Option<char>, String)> {
        prop_oneof![
            Just((Some('\n'), newline.to_owned())),
            Just(if escapes {
                (None, format!("\\ {newline}\t{newline} "))
            } else {
                (Some('\n'), newline.to_owned())
            }),
        ]
    }

    /// A string's characters, each as the file writes it, with the quote to put around them.
    fn string() -> impl Strategy<Value = (String, Vec<(Option<char>, String)>)> {
        let some = |(c, written): (char, String)| (Some(c), written);
        let basic = prop::collection::vec(basic_char().prop_map(some), 0..12).prop_map(|s| ("\"".to_owned(), s));
        let literal = prop::collection::vec(literal_char().prop_map(some), 0..12).prop_map(|s| ("'".to_owned(), s));
        let multiline = prop::sample::select(vec!["\n", "\r\n"]).prop_flat_map(move |newline| {
            let basic = prop_oneof![3 => basic_char().prop_map(some), 1 => line_break(newline, true)];
            let literal = prop_oneof![3 => literal_char().prop_map(some), 1 => line_break(newline, false)];
            prop_oneof![
                prop::collection::vec(basic, 0..12).prop_map(move |s| (format!("\"\"\"{newline}"), s)),
                prop::collection::vec(literal, 0..12).prop_map(move |s| (format!("'''{newline}"), s)),
            ]
        });
        prop_oneof![basic, literal, multiline]
    }

    proptest! {
        #[test]
        fn offsets_lead_to_where_each_character_is_written((open, chars) in string(), name in "[a-z é]{0,5}") {
            let prefix = format!("# {name}\nvalue = {open}");
            let mut file = prefix.clone();
            let mut expected = Vec::new();
            let mut swallowing = false;
            for (c, written) in &chars {
                // blank space right after a backslash that ends a line is removed with it
                swallowing = c.is_none() || (swallowing && matches!(written.as_str(), " " | "\t" | "\n" | "\r\n"));
                if let Some(c) = c.filter(|_| !swallowing) {
                    expected.push((c, file.len(), written.clone()));
                }
                file.push_str(written);
            }
            let end = file.len();
            file.push_str(open.trim_end());
            file.push('\n');

            let (value, decoded) = read(&file);
            let text: String = expected.iter().map(|(c, ..)| c).collect();
            prop_assert_eq!(&decoded.text, &text);
            if !value.contains('\r') {
                prop_assert_eq!(&value, &text);
            }
            prop_assert_eq!(decoded.offsets.len(), text.len() + 1);
            let mut index = 0;
            for (c, offset, written) in expected {
                prop_assert_eq!(decoded.offsets[index], offset);
                prop_assert!(file[offset..].starts_with(&written));
                index += c.len_utf8();
            }
            prop_assert_eq!(decoded.offsets[index], end);
        }

        #[test]
        fn any_text_is_decoded_or_refused(written in "[\"'\\\\ a\r\nux0é]{0,12}") {
            if let Some(decoded) = decode(&written, 7) {
                prop_assert_eq!(decoded.offsets.len(), decoded.text.len() + 1);
            }
        }
    }
}
