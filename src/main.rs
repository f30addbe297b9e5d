//! `helm-sigstore`, and as the Helm plugin `sigstore`: `helm sigstore`.

use std::io::IsTerminal;
use std::process::ExitCode;

use helm_sigstore::cli::{self, Environment, Process};

/// musl's allocator asks the operating system for nearly every buffer; that costs more than the work.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn text(value: std::ffi::OsString) -> String {
    value.into_string().unwrap_or_else(|odd| odd.to_string_lossy().into_owned())
}

fn executable() -> String {
    std::env::current_exe()
        .map(|path| path.display().to_string())
        .unwrap_or_else(|_| std::env::args_os().next().map(text).unwrap_or_default())
}

fn main() -> ExitCode {
    // The hook's own text would name files of this machine's build and nothing that helps a user; the
    // panic itself is caught in `cli::run` and told there.
    std::panic::set_hook(Box::new(|_| {}));
    let environment =
        Environment::new(std::env::vars_os().map(|(name, value)| (text(name), text(value))));
    let (mut stdin, mut stdout, mut stderr) =
        (std::io::stdin().lock(), std::io::stdout().lock(), std::io::stderr().lock());
    let (stdin_is_terminal, stdout_is_terminal, stderr_is_terminal) =
        (stdin.is_terminal(), stdout.is_terminal(), stderr.is_terminal());
    ExitCode::from(cli::run(Process {
        arguments: std::env::args_os().skip(1).map(text).collect(),
        environment,
        executable,
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        stdin_is_terminal,
        stdout_is_terminal,
        stderr_is_terminal,
        clock: jiff::Timestamp::now,
    }))
}
