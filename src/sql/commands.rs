//! Splits a text into its commands, as psql does.

use super::lexer::{Token, TokenKind, tokens};

/// How many commands a text holds. Blank space, comments and stray semicolons do not count.
pub fn commands(sql: &str) -> usize {
    split(sql).len()
}

/// The commands of a text, each as its tokens without blank space, comments and the closing semicolon.
pub(crate) fn split(sql: &str) -> Vec<Vec<Token<'_>>> {
    let mut commands = Vec::new();
    let mut command: Vec<Token<'_>> = Vec::new();
    let mut parens = 0usize;
    let mut body = 0usize;
    for token in tokens(sql).filter(|token| !token.is_blank()) {
        match token.kind {
            TokenKind::Open => parens += 1,
            TokenKind::Close => parens = parens.saturating_sub(1),
            TokenKind::Word if parens == 0 && creates_routine(&command) => {
                if token.is("BEGIN") || (body > 0 && token.is("CASE")) {
                    body += 1;
                } else if token.is("END") {
                    body = body.saturating_sub(1);
                }
            }
            TokenKind::Semicolon if parens == 0 && body == 0 => {
                if !command.is_empty() {
                    commands.push(std::mem::take(&mut command));
                }
                continue;
            }
            _ => {}
        }
        command.push(token);
    }
    if !command.is_empty() {
        commands.push(command);
    }
    commands
}

/// A function's body may be BEGIN ATOMIC … END, with semicolons in it.
fn creates_routine(command: &[Token<'_>]) -> bool {
    let Some((first, rest)) = command.split_first() else {
        return false;
    };
    let replace = rest.len() >= 2 && rest[0].is("OR") && rest[1].is("REPLACE");
    let what = rest.get(if replace { 2 } else { 0 });
    first.is("CREATE") && what.is_some_and(|word| word.is_one_of(&["FUNCTION", "PROCEDURE"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_comments_and_bodies_end_no_command() {
        for (sql, count) in [
            ("", 0),
            (" ; -- nothing; here\n ;", 0),
            ("SELECT 1", 1),
            ("SELECT 1; /* ; */ ;", 1),
            ("SELECT ';', \";\", $$;$$", 1),
            ("SELECT 1; SELECT 2", 2),
            (
                "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
                1,
            ),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 1",
                2,
            ),
            ("CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", 1),
            ("BEGIN; END", 2),
        ] {
            assert_eq!(commands(sql), count, "{sql}");
        }
    }
}
