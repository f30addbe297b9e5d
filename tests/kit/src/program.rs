//! Programs that a test makes for the product to run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a shell script that can be run at once.
///
/// A child writes it: were it written here, a fork of another test could inherit the open file, and the
/// kernel runs no file that is open for writing ("text file busy").
///
/// # Panics
/// If there is no shell, or the file cannot be written.
pub fn write(path: &Path, script: &str) {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "rm -f \"$0\" && cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut input = child.stdin.take().expect("its input");
    writeln!(input, "#!/bin/sh\n{script}").expect("a script is written");
    drop(input);
    assert!(child.wait().expect("the shell ends").success(), "{} is not written", path.display());
}
