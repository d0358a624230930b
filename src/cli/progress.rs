//! Progress on a terminal; nothing elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use pgbraid::pipeline::Progress;
use pgbraid::{explore, shrink};

/// Schedules per second, with one decimal if they are few.
fn rate(state: &ProgressState, to: &mut dyn std::fmt::Write) {
    let rate = state.per_sec();
    // failing to write costs only a line on a terminal
    let _ = match rate < 10.0 {
        true => write!(to, "{rate:.1}/s"),
        false => write!(to, "{rate:.0}/s"),
    };
}

/// A bar where the number of schedules is known, a count and a rate where it is not.
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    pub fn new(total: Option<u64>) -> ProgressLine {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {human_pos}/{human_len} schedules, {rate}, {eta} left{msg}",
            ),
            None => (
                ProgressBar::no_length(),
                "{spinner} {human_pos} schedules, {rate}, {elapsed}{msg}",
            ),
        };
        if stderr().is_terminal() {
            // the template is a constant that parses
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.with_key("rate", rate));
            }
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        ProgressLine(bar)
    }

    /// Shows what is being done before the first schedule.
    pub fn say(&self, what: &str) {
        if stderr().is_terminal() {
            self.0.set_message(format!(" ({what})"));
        }
    }

    /// This many of the schedules are finished.
    pub fn replayed(&self, over: usize) {
        self.0.set_position(over as u64);
        self.0.set_message("");
    }

    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Searching(progress) => self.searching(progress),
            Progress::Shrinking(progress) => self.shrinking(progress),
        }
    }

    pub fn shrinking(&self, progress: shrink::Progress) {
        self.0
            .set_message(format!(", shrinking the failure: {} run", progress.runs));
    }

    fn searching(&self, progress: explore::Progress) {
        self.0.set_position(progress.schedules_run);
        self.0.set_message(match progress.failures {
            0 => String::new(),
            failures => format!(", {failures} failed"),
        });
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
