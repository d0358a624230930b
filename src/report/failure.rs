//! A failing run in full.

use crate::report::anomaly::anomaly;
use crate::report::text::TextOptions;
use crate::report::timeline::timeline;
use crate::report::violations::violations;
use crate::run::Run;
use crate::verdict::dependencies::Explanation;

/// The timeline of a failing run, what it violates, and what anomaly it is where that explains it. The last line has no
/// line break.
pub fn failure(run: &Run, explanation: Option<&Explanation>, options: &TextOptions) -> String {
    let mut parts = vec![
        timeline(&run.history, options),
        violations(&run.violations, &run.outcome.tables, &run.history, options),
    ];
    if let Some(explanation) = explanation.filter(|explanation| explanation.explains(&run.violations)) {
        parts.push(anomaly(explanation, &run.history, options));
    }
    parts.join("\n\n")
}
