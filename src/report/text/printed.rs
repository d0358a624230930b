//! What programs printed in a failing run.

use crate::process::Output;
use crate::report::text::layout::TextOptions;
use crate::report::text::violations::{indented, inner_width};
use crate::terminal::visible;

/// The last lines of each stream that are shown.
const LINES_SHOWN: usize = 12;

/// A paragraph for each program that printed something; `None` where none has.
pub(super) fn printed(outputs: &[(String, Output)], options: &TextOptions) -> Option<String> {
    let paragraph = |(session, output): &(String, Output)| {
        let mut lines = vec![format!("{} printed:", visible(session))];
        for text in [&output.stdout, &output.stderr] {
            let all: Vec<&str> = text.lines().collect();
            let shown = &all[all.len().saturating_sub(LINES_SHOWN)..];
            if shown.len() < all.len() {
                lines.extend(indented(vec!["…".to_owned()]));
            }
            let shortened = |line: &&str| console::truncate_str(&visible(line), inner_width(options), "…").into_owned();
            lines.extend(indented(shown.iter().map(shortened).collect()));
        }
        lines.join("\n")
    };
    let paragraphs: Vec<String> = outputs.iter().map(paragraph).collect();
    (!paragraphs.is_empty()).then(|| paragraphs.join("\n\n"))
}
