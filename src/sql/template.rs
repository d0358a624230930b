//! Finds a statement's variables, and fills values in for reading.

use super::lexer::{TokenKind, tokens};
use super::{Piece, Placeholder, Template};

impl Template {
    /// Replaces each `:name` outside strings, comments, dollar quotes and quoted names by `$n`; the same name gets the
    /// same number. Takes any text.
    pub fn parse(sql: &str) -> Template {
        let mut variables: Vec<Placeholder> = Vec::new();
        let mut pieces = Vec::new();
        let mut plain = String::new();
        for token in tokens(sql) {
            if token.kind != TokenKind::Variable {
                plain.push_str(token.text);
                continue;
            }
            let name = &token.text[1..];
            let index = variables
                .iter()
                .position(|variable| variable.name == name)
                .unwrap_or_else(|| {
                    variables.push(Placeholder {
                        name: name.to_owned(),
                        offset: token.offset,
                    });
                    variables.len() - 1
                });
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Variable(index));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        let text = join(&pieces, |index| format!("${}", index + 1));
        Template {
            text,
            variables,
            pieces,
        }
    }

    /// The statement with each variable replaced by what `render` makes of its name: a literal, for reading only.
    pub fn fill(&self, render: impl Fn(&str) -> String) -> String {
        join(&self.pieces, |index| {
            self.variables
                .get(index)
                .map_or_else(String::new, |variable| render(&variable.name))
        })
    }

    /// Maps a position in [`Template::text`] to the SQL as written. Both count characters from 1, as the server does in
    /// its errors; a position inside a `$n` maps to the variable's colon.
    pub fn original_position(&self, position: u32) -> u32 {
        let wanted = position.saturating_sub(1) as usize;
        let mut sent = 0;
        let mut original = 0;
        let mut last = None;
        for piece in &self.pieces {
            let (sent_length, original_length, text) = match piece {
                Piece::Text(text) => (text.chars().count(), text.chars().count(), text.chars().last()),
                Piece::Variable(index) => {
                    let number = format!("${}", index + 1);
                    sent += usize::from(joins(last, &number));
                    let name = self.variables.get(*index).map_or(0, |variable| variable.name.len());
                    (number.len(), 1 + name, number.chars().last())
                }
            };
            if wanted < sent + sent_length {
                let within = if matches!(piece, Piece::Text(_)) {
                    wanted.saturating_sub(sent)
                } else {
                    0
                };
                return u32::try_from(original + within + 1).unwrap_or(u32::MAX);
            }
            sent += sent_length;
            original += original_length;
            last = text;
        }
        u32::try_from(original + 1).unwrap_or(u32::MAX)
    }
}

/// Joins pieces, with a space where a value would merge with the text before it (`a:b`, `- :n` with a negative number).
fn join(pieces: &[Piece], value: impl Fn(usize) -> String) -> String {
    let mut joined = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => joined.push_str(text),
            Piece::Variable(index) => {
                let value = value(*index);
                if joins(joined.chars().last(), &value) {
                    joined.push(' ');
                }
                joined.push_str(&value);
            }
        }
    }
    joined
}

/// Whether a value right after this character would be read as one token with it.
fn joins(before: Option<char>, value: &str) -> bool {
    match before {
        Some('-') => value.starts_with('-'),
        Some(before) => before.is_alphanumeric() || before == '_' || before == '$' || !before.is_ascii(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(template: &Template) -> Vec<&str> {
        template
            .variables
            .iter()
            .map(|variable| variable.name.as_str())
            .collect()
    }

    #[test]
    fn a_variable_used_twice_has_one_number() {
        let template = Template::parse("UPDATE t SET a = :a + 1, b = :b WHERE a = :a");
        assert_eq!(template.text, "UPDATE t SET a = $1 + 1, b = $2 WHERE a = $1");
        assert_eq!(names(&template), ["a", "b"]);
        assert_eq!(template.variables[0].offset, 17);
    }

    #[test]
    fn only_code_holds_variables() {
        let sql = "SELECT ':a', E'\\':a', \":a\", $$:a$$, $x$:a$x$, 1::int, f(x := 1) -- :a\n /* :a /* :a */ */";
        let template = Template::parse(sql);
        assert_eq!(template.text, sql);
        assert!(template.variables.is_empty());
        assert_eq!(Template::parse("SELECT :a::int").text, "SELECT $1::int");
    }

    #[test]
    fn a_number_never_runs_into_the_name_ahead_of_it() {
        assert_eq!(Template::parse("SELECT x[lo:hi]").text, "SELECT x[lo $1]");
        assert_eq!(Template::parse("SELECT 1:hi").text, "SELECT 1 $1");
    }

    #[test]
    fn filling_shows_values_in_place() {
        let template = Template::parse("SELECT -:n, :t || ':t'");
        let render = |name: &str| if name == "n" { "-5".to_owned() } else { "'x'".to_owned() };
        assert_eq!(template.fill(render), "SELECT - -5, 'x' || ':t'");
    }

    #[test]
    fn positions_in_the_sent_text_map_back() {
        let template = Template::parse("SELECT é:long, :long, nope");
        assert_eq!(template.text, "SELECT é $1, $1, nope");
        let position = |needle: &str, text: &str| text.find(needle).map(|at| text[..at].chars().count() as u32 + 1);
        let sent = position("nope", &template.text).unwrap();
        assert_eq!(
            Some(template.original_position(sent)),
            position("nope", "SELECT é:long, :long, nope")
        );
        assert_eq!(template.original_position(10), 9);
        assert_eq!(template.original_position(11), 9);
        assert_eq!(template.original_position(0), 1);
        assert_eq!(template.original_position(1000), 27);
    }

    fn original(template: &Template) -> String {
        template
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Variable(index) => format!(":{}", template.variables[*index].name),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(sql in "([:$a-c' \n\"é(;-]|:ab|::|--|E'|\\$\\$|/\\*|\\*/){0,40}") {
            let template = Template::parse(&sql);
            prop_assert_eq!(original(&template), sql);
        }

        #[test]
        fn any_text_is_a_template(sql in any::<String>(), position in any::<u32>()) {
            let template = Template::parse(&sql);
            prop_assert_eq!(original(&template), &sql[..]);
            prop_assert!(template.original_position(position) as usize <= sql.chars().count() + 1);
        }

        #[test]
        fn characters_of_plain_text_map_to_themselves(sql in "[:a-c é,(]{0,30}") {
            let template = Template::parse(&sql);
            let chars: Vec<char> = sql.chars().collect();
            let mut from_colon = 0;
            for (index, sent) in template.text.chars().enumerate() {
                let at = template.original_position(index as u32 + 1) as usize - 1;
                match sent {
                    '$' | '0'..='9' => { prop_assert_eq!(chars[at], ':'); from_colon += 1; }
                    ' ' => prop_assert!(chars[at] == ' ' || chars[at] == ':'),
                    _ => prop_assert_eq!(chars[at], sent),
                }
            }
            prop_assert_eq!(from_colon == 0, template.variables.is_empty());
        }
    }
}
