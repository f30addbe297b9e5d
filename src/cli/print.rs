//! The only place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error. What came from a chart, a
//! certificate or a registry may hold control characters; every line is escaped here (Helm
//! CVE-2021-21303), so no caller has to remember to.

use std::fmt::Write as _;
use std::io::Write;

use crate::error::{Class, Error};
use crate::run::{Format, Outcome, Report, Status, Verdict};

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
        let text = serde_json::to_string(document).unwrap_or_else(|_| "{}".to_owned());
        self.text(&(text + "\n"));
    }

    /// Whether standard output was lost: a result that nobody can read is no success.
    pub(super) fn stdout_broken(&self) -> bool {
        self.stdout_broken
    }

    /// A warning.
    pub(super) fn warning(&mut self, text: &str) {
        let line = format!("{}: {}\n", self.paint_err("33", "warning"), escape(text));
        self.error_text(&line);
    }

    /// A remark.
    pub(super) fn note(&mut self, text: &str) {
        self.error_text(&format!("{}\n", escape(text)));
    }

    /// A failure, in full.
    pub(super) fn error(&mut self, error: &Error) {
        let mut text = format!("{}: {}", self.paint_err("31", "error"), escape(&error.what));
        if !error.object.is_empty() {
            let _ = write!(text, ": {}", escape(&error.object));
        }
        if let Some(digest) = &error.digest {
            let _ = write!(text, " ({})", escape(digest));
        }
        text.push('\n');
        let width = error.lines.iter().map(|line| line.label.len()).max().unwrap_or(0);
        for line in &error.lines {
            if line.label.is_empty() {
                let _ = writeln!(text, "  {}", escape(&line.text));
            } else {
                let _ = writeln!(text, "  {:width$}  {}", line.label, escape(&line.text));
            }
        }
        if error.class == Class::Undecided {
            text.push_str("  nothing was verified; retry\n");
        }
        if let Some(hint) = &error.hint {
            let _ = writeln!(text, "{}: {}", self.paint_err("36", "hint"), escape(hint));
        }
        self.error_text(&text);
    }

    /// The one line on a terminal that says what takes long; empty to wipe it.
    pub(super) fn progress(&mut self, step: &str) {
        let step: String = escape(step).chars().take(76).collect();
        let end = if step.is_empty() { "" } else { " …" };
        self.error_text(&format!("\r\u{1b}[2K{step}{end}"));
    }

    /// A question, without the end of its line.
    pub(super) fn prompt(&mut self, question: &str) {
        self.error_text(&escape(question));
    }

    fn error_text(&mut self, text: &str) {
        // Nobody is left to tell when standard error is gone.
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }

    /// Every result of a run in words.
    pub(super) fn report(&mut self, report: &Report) {
        for (at, outcome) in report.results.iter().enumerate() {
            if at > 0 && outcome.error.is_none() {
                self.text("\n");
            }
            match &outcome.error {
                Some(error) => self.error(error),
                None => {
                    let text = self.outcome(outcome);
                    self.text(&text);
                }
            }
            for weakened in &outcome.weakened {
                self.warning(&format!("weakened by {weakened}"));
            }
        }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "{label}: {}", escape(value));
        };
        let object = outcome.reference.as_deref().unwrap_or(&outcome.input);
        let headline = if outcome.verdict == Verdict::Signed { "Signed" } else { "Verified" };
        line(&self.paint_out("32", headline), object);
        if let (Verdict::Signed, Some(digest)) = (outcome.verdict, &outcome.manifest_digest) {
            line("Digest", digest);
        }
        let accepted = outcome.signatures.iter().find(|s| s.status == Status::Accepted);
        if let Some(signature) = accepted {
            if let Some(signer) = &signature.signer {
                line("Signed by", &signer.identity);
                line("Issued by", &signer.issuer);
            }
            if let Some(log) = &signature.log {
                let mut words = host_of(&log.url).to_owned();
                if let Some(index) = log.index {
                    let _ = write!(words, " index {index}");
                }
                if let Some(time) = log.time {
                    let _ = write!(words, " at {time}");
                }
                line("Logged in", &words);
                if let (None, Some(time)) = (log.time, signature.timestamp) {
                    line("Timestamp", &time.to_string());
                }
            }
            debug_assert!(signature.format != Some(Format::Attestation));
        }
        if outcome.verdict == Verdict::Verified {
            if let Some(digest) = &outcome.chart_digest {
                let how = outcome.notes.first().map(String::as_str).unwrap_or_default();
                line("Chart Hash Verified", &format!("{digest}   ({how})"));
            }
            for note in outcome.notes.iter().skip(1) {
                let _ = writeln!(text, "{}", escape(note));
            }
            if let Some(pinned) = &outcome.digest_ref {
                let _ = writeln!(text, "Pinned: {}", escape(pinned));
            }
        } else {
            for attached in outcome.attached.iter().flatten() {
                line("Attached", &format!("{} ({})", attached.digest, attached.place.words()));
            }
        }
        if let Some(file) = &outcome.bundle_file {
            let _ = writeln!(text, "Bundle: {}", escape(file));
        }
        text
    }

    fn paint_out(&self, color: &str, text: &str) -> String {
        paint(self.color_stdout, color, text)
    }

    fn paint_err(&self, color: &str, text: &str) -> String {
        paint(self.color_stderr, color, text)
    }
}

fn paint(on: bool, color: &str, text: &str) -> String {
    if on { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The host of a log's URL, which is how people know it.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Makes every character visible: control characters and the marks that reorder text are written as
/// `\u{…}`, and nothing can break out of its line.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = character.is_control()
            || matches!(character,
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if hidden {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_controls_everywhere() {
        assert_eq!(escape("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\u{a}c");
        assert_eq!(escape("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escape("über/…"), "über/…");
    }

    #[test]
    fn an_error_is_printed_with_aligned_lines_and_one_hint() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let error = Error::refused(crate::Reason::WrongSigner, "wrong signer")
            .on("oci://r/web:1\u{7}")
            .at_digest("sha256:00")
            .expected_found("a", "b")
            .hint("do this");
        Printer::new(&mut out, &mut err, false, false).error(&error);
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "error: wrong signer: oci://r/web:1\\u{7} (sha256:00)\n  expected  a\n  found     b\nhint: do this\n"
        );
        assert!(out.is_empty());
    }
}
