//! What the tests of the command line share: terminals, clocks and streams that the usual world lacks.

use std::io::Write;

use helm_sigstore::cli::{self, Environment, Process};

use crate::support::{Ended, World};

/// What one run sees of the world outside, beside its environment.
pub(crate) struct Setting {
    pub(crate) stdin_is_terminal: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    pub(crate) clock: fn() -> jiff::Timestamp,
}

impl Setting {
    /// Pipes, and the true time.
    pub(crate) fn pipes() -> Self {
        Self {
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            clock: jiff::Timestamp::now,
        }
    }

    /// A person in front of it.
    pub(crate) fn terminal() -> Self {
        Self {
            stdin_is_terminal: true,
            stdout_is_terminal: true,
            stderr_is_terminal: true,
            ..Self::pipes()
        }
    }

    /// Runs the command line in this setting.
    pub(crate) fn run(&self, world: &World, arguments: &[&str]) -> Ended {
        let mut stdout = Vec::new();
        let mut ended = self.run_into(world, &mut stdout, arguments);
        ended.stdout = String::from_utf8(stdout).unwrap();
        ended
    }

    /// The same with another standard output.
    pub(crate) fn run_into(
        &self,
        world: &World,
        stdout: &mut dyn Write,
        arguments: &[&str],
    ) -> Ended {
        let mut stderr = Vec::new();
        let mut stdin = world.stdin.as_slice();
        let code = cli::run(Process {
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: Environment::new(world.environment.clone()),
            executable: || "/plugins/sigstore/bin/helm-sigstore".to_owned(),
            stdin: &mut stdin,
            stdout,
            stderr: &mut stderr,
            stdin_is_terminal: self.stdin_is_terminal,
            stdout_is_terminal: self.stdout_is_terminal,
            stderr_is_terminal: self.stderr_is_terminal,
            clock: self.clock,
        });
        Ended { code, stdout: String::new(), stderr: String::from_utf8(stderr).unwrap() }
    }
}

/// The words of `verify` for the usual signer.
pub(crate) fn verify_words<'a>(signer: &'a [String; 4], arguments: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["verify"];
    words.extend(arguments);
    words.extend(signer.iter().map(String::as_str));
    words
}
