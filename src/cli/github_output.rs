//! `--github-output`: what a step of GitHub Actions leaves for those behind it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::run::Outcome;

/// The file where GitHub Actions reads the outputs of a step. Of two outputs of one name the later counts.
pub(super) struct Outputs {
    path: PathBuf,
    state: RefCell<State>,
}

struct State {
    file: File,
    /// What has ended well, in the order of its end.
    done: Vec<Output>,
    /// What stands in the file.
    written: String,
}

/// What one chart leaves.
struct Output {
    digest: Option<String>,
    reference: Option<String>,
    digest_ref: Option<String>,
}

impl Output {
    /// Nothing of what failed.
    fn of(outcome: &Outcome) -> Option<Self> {
        outcome.error.is_none().then(|| Self {
            digest: outcome.manifest_digest.clone(),
            reference: outcome.reference.clone(),
            digest_ref: outcome.digest_ref.clone(),
        })
    }
}

impl Outputs {
    /// Opens the file, so that nothing is pushed which could not be told of.
    ///
    /// # Errors
    /// Usage.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(|error| cannot_write(path, &error))?;
        let state = State { file, done: Vec::new(), written: String::new() };
        Ok(Self { path: path.to_owned(), state: RefCell::new(state) })
    }

    /// Tells of a chart as soon as it has ended: nobody knows whether the run comes to its own end.
    pub(super) fn add(&self, outcome: &Outcome) {
        let mut state = self.state.borrow_mut();
        state.done.extend(Output::of(outcome));
        let text = text(&state.done);
        // What fails here is written and told of at the end.
        let _ = state.write(&text);
    }

    /// Tells of all charts, in the order of the arguments. Those that cannot be told of have failed.
    pub(super) fn finish(self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let mut state = self.state.into_inner();
        let text = text(&outcomes.iter().filter_map(Output::of).collect::<Vec<_>>());
        let Err(error) = state.write(&text) else { return outcomes };
        let error = cannot_write(&self.path, &error).note("the chart was pushed");
        let failed = |outcome: Outcome| match outcome.error {
            None => outcome.failed(error.clone()),
            Some(_) => outcome,
        };
        outcomes.into_iter().map(failed).collect()
    }
}

impl State {
    /// Appends what does not stand there yet.
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        if self.written == text {
            return Ok(());
        }
        // At once, so that a reader sees all of it or nothing.
        self.file.write_all(text.as_bytes())?;
        text.clone_into(&mut self.written);
        Ok(())
    }
}

/// `digest`, `ref` and `digest-ref`; of several charts one a line.
fn text(done: &[Output]) -> String {
    let values = |value: fn(&Output) -> Option<&String>| -> Vec<&str> {
        done.iter().filter_map(value).map(String::as_str).collect()
    };
    let outputs = [
        ("digest", values(|one| one.digest.as_ref())),
        ("ref", values(|one| one.reference.as_ref())),
        ("digest-ref", values(|one| one.digest_ref.as_ref())),
    ];
    let mut text = String::new();
    for (name, values) in outputs {
        match values.as_slice() {
            [] => {}
            [one] => writeln!(text, "{name}={one}").unwrap_or_default(),
            // None of the values, which are references and digests, is such a word.
            several => {
                writeln!(text, "{name}<<END_OF_{name}\n{}\nEND_OF_{name}", several.join("\n"))
                    .unwrap_or_default();
            }
        }
    }
    text
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::usage("cannot write outputs").on(path.display().to_string()).cause(error.to_string())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::run::Verdict;

    #[test]
    fn a_chart_that_cannot_be_told_of_has_failed() {
        // A file that can be opened, and is full.
        let outputs = Outputs::open(Path::new("/dev/full")).unwrap();
        let mut pushed = Outcome::new("web-1.4.2.tgz");
        pushed.verdict = Verdict::Pushed;
        pushed.manifest_digest = Some("sha256:00".to_owned());
        outputs.add(&pushed);
        let ended = outputs.finish(vec![pushed]);
        let error = ended[0].error.as_ref().unwrap();
        assert_eq!(
            (ended[0].verdict, error.what.as_str()),
            (Verdict::Usage, "cannot write outputs")
        );
        assert_eq!(ended[0].manifest_digest.as_deref(), Some("sha256:00"));
    }
}
