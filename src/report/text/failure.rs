//! A failing run in full.

use crate::report::document::Failure;
use crate::report::text::anomaly::anomaly;
use crate::report::text::layout::TextOptions;
use crate::report::text::printed::printed;
use crate::report::text::timeline::timeline;
use crate::report::text::violations::violations;

/// The timeline of a failing run, what it violates, and the anomaly if that explains it. The last line has no line
/// break.
pub(super) fn failure(failure: &Failure, options: &TextOptions) -> String {
    let Failure {
        history,
        violations: violated,
        tables,
        explanation,
        outputs,
        ..
    } = failure;
    let mut parts = vec![
        timeline(history, options),
        violations(violated, tables, history, options),
    ];
    parts.extend(printed(outputs, options));
    if let Some(explanation) = explanation
        .as_ref()
        .filter(|explanation| explanation.explains(violated))
    {
        parts.push(anomaly(explanation, history, options));
    }
    parts.join("\n\n")
}
