//! Makes text from elsewhere (SQL, names, paths, a server's messages) safe for a terminal.

/// `text`, with everything escaped that would not be visible as a character of its own, or would steer the terminal.
pub fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`visible`], for text of several lines: line breaks and tabs are kept.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) && !kept(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Control characters, zero-width ones, direction marks, and line and paragraph separators.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(visible("\u{1b}[2Ja\rb\u{9b}31m\u{7}"), r"\u{1b}[2Ja\rb\u{9b}31m\u{7}");
        assert_eq!(visible("a\u{202e}b\u{2066}c"), r"a\u{202e}b\u{2066}c");
        assert_eq!(visible("naïve ✓ 表"), "naïve ✓ 表");
        assert_eq!(visible("a\n\tb"), r"a\n\tb");
        assert_eq!(visible_lines("a\r\n\tb\u{1b}"), "a\\r\n\tb\\u{1b}");
    }
}
