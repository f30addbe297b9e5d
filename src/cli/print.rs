//! The only place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error.

use std::io::Write;

use super::words::{self, Paint, escape};
use crate::error::Error;
use crate::run::Report;

/// The longest progress line, so that it never wraps.
const MAX_PROGRESS: usize = 76;

/// The two streams, and what the terminal behind them can do.
pub(super) struct Printer<'a> {
    stdout: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
    color_stdout: bool,
    color_stderr: bool,
    stdout_broken: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(
        stdout: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
        color_stdout: bool,
        color_stderr: bool,
    ) -> Self {
        Self { stdout, stderr, color_stdout, color_stderr, stdout_broken: false }
    }

    /// Text that is ours (help, versions), as it is.
    pub(super) fn text(&mut self, text: &str) {
        let written = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush());
        self.stdout_broken |= written.is_err();
    }

    /// The one JSON document.
    pub(super) fn json(&mut self, document: &impl serde::Serialize) {
        // Plain data with text keys, which always has a JSON form.
        let text = serde_json::to_string(document).unwrap_or_else(|_| "{}".to_owned());
        self.text(&(words::escape_json(&text) + "\n"));
    }

    /// Whether standard output was lost: a result that nobody can read is no success.
    pub(super) fn stdout_broken(&self) -> bool {
        self.stdout_broken
    }

    /// A warning.
    pub(super) fn warning(&mut self, text: &str) {
        let label = Paint::Yellow.over("warning", self.color_stderr);
        self.error_text(&format!("{label}: {}\n", escape(text)));
    }

    /// A remark.
    pub(super) fn note(&mut self, text: &str) {
        self.error_text(&format!("{}\n", escape(text)));
    }

    /// What goes on underneath, for those who asked to see it.
    pub(super) fn debug(&mut self, text: &str) {
        self.error_text(&format!("debug: {}\n", escape(text)));
    }

    /// A failure, in full; `aftermath` is what an undecided end means.
    pub(super) fn error(&mut self, error: &Error, aftermath: &str) {
        let text = words::failure(error, aftermath, self.color_stderr);
        self.error_text(&text);
    }

    /// The one line on a terminal that says what takes long; empty to wipe it.
    pub(super) fn progress(&mut self, step: &str) {
        let step: String = escape(step).chars().take(MAX_PROGRESS).collect();
        let end = if step.is_empty() { "" } else { " …" };
        self.error_text(&format!("\r\u{1b}[2K{step}{end}"));
    }

    /// A question, without the end of its line.
    pub(super) fn prompt(&mut self, question: &str) {
        self.error_text(&escape(question));
    }

    /// Every result of a run in words, in order: successes to one stream, failures to the other.
    pub(super) fn report(&mut self, report: &Report) {
        let mut succeeded = false;
        for outcome in &report.results {
            match &outcome.error {
                Some(error) => {
                    // What is there is told, also where it could not be signed.
                    self.text(&words::pushed(outcome, self.color_stdout));
                    self.error(error, outcome.aftermath);
                    if !outcome.weakened.is_empty() {
                        self.warning(&format!("weakened by {}", outcome.weakened.join(", ")));
                    }
                }
                None => {
                    let gap = if succeeded { "\n" } else { "" };
                    succeeded = true;
                    let text = words::success(outcome, self.color_stdout);
                    self.text(&(gap.to_owned() + &text));
                }
            }
        }
    }

    fn error_text(&mut self, text: &str) {
        // Nobody is left to tell when standard error is gone.
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }
}
