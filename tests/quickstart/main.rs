//! The whole story on one machine with only Rust installed: a registry and a Sigstore start inside this
//! process, a chart is packaged, pushed, signed, verified, tampered with and refused. Each step is printed
//! as the command that a user would type.
//!
//! The commands of helm-sigstore are run for real: this program starts itself again as the command line,
//! so that each command has its own environment and exit code.

#![allow(clippy::print_stderr, clippy::print_stdout)] // a program for people, with nothing else to print with

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use helm_sigstore::cli::{self, Environment, Process};
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Options as RegistryOptions, Registry};
use helm_sigstore_kit::sigstore::{Identity, IssuerKind, Options, Sigstore};

/// The hidden first argument that turns this program into the command line.
const AS_CLI: &str = "__helm-sigstore";
const WORKFLOW: &str = "acme/charts/.github/workflows/release.yml@refs/heads/main";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let stay = match arguments.next().as_deref() {
        Some(AS_CLI) => return as_cli(arguments.collect()),
        Some("--stay") => true,
        None => false,
        Some(_) => {
            eprintln!("usage: cargo run --locked --example quickstart [-- --stay]");
            return ExitCode::from(2);
        }
    };
    match story(stay) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn as_cli(arguments: Vec<String>) -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) =
        (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let terminals = (stdin.is_terminal(), stdout.is_terminal(), stderr.is_terminal());
    ExitCode::from(cli::run(Process {
        arguments,
        environment: Environment::new(std::env::vars()),
        executable: || "quickstart".to_owned(),
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        stdin_is_terminal: terminals.0,
        stdout_is_terminal: terminals.1,
        stderr_is_terminal: terminals.2,
        clock: jiff::Timestamp::now,
    }))
}

/// A command of helm-sigstore in `directory`, with the environment of the story.
struct Shell<'a> {
    directory: &'a Path,
    variables: Vec<(&'static str, String)>,
}

impl Shell<'_> {
    /// Prints `helm sigstore …`, runs it, and insists on its exit code.
    fn run(&self, arguments: &[&str], expected: i32) -> Result<(), Failure> {
        println!("\n$ helm sigstore {}", arguments.join(" "));
        let status = Command::new(std::env::current_exe()?)
            .arg(AS_CLI)
            .args(arguments)
            .current_dir(self.directory)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .env("HELM_PLUGIN_NAME", "sigstore")
            .env("HOME", self.directory)
            .stdin(Stdio::null())
            .status()?;
        let code = status.code();
        println!(
            "[exit {}]",
            code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string())
        );
        if code != Some(expected) {
            return Err(format!("expected exit code {expected}").into());
        }
        Ok(())
    }
}

fn story(stay: bool) -> Result<(), Failure> {
    let registry = Registry::start(RegistryOptions::default());
    let sigstore = Sigstore::start(Options::default());
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    sigstore.write_files(path)?;
    let token = sigstore.token(&Identity::github(WORKFLOW).expires_in(12 * 3600));
    std::fs::write(path.join("token"), &token)?;
    let issuer = sigstore.issuer_url(IssuerKind::GitHub);
    let identity = format!("https://github.com/{WORKFLOW}");
    let repository = format!("oci://{}/acme/charts", registry.host());
    let reference = format!("{repository}/web:1.4.2");

    println!(
        "A registry ({}) and a Sigstore ({}) run inside this process.",
        registry.host(),
        sigstore.fulcio_url()
    );
    println!("They live on loopback and vouch for nothing; the protocols are the real ones.");
    println!(
        "\n$ export HELM_SIGSTORE_TRUSTED_ROOT=trusted_root.json HELM_SIGSTORE_SIGNING_CONFIG=signing_config.json"
    );
    println!("$ export HELM_SIGSTORE_PLAIN_HTTP=true SIGSTORE_ID_TOKEN=$(cat token)");

    println!("\n$ helm package web && helm push web-1.4.2.tgz {repository} --plain-http");
    let chart = Chart::new("web", "1.4.2").description("A small chart");
    chart.write_to(path)?;
    let pushed = registry.push_chart("acme/charts/web", &chart);
    println!("(no Helm needed here: the quickstart stores what Helm would)");
    println!("Pushed: {}/acme/charts/web:1.4.2", registry.host());
    println!("Digest: {}", pushed.manifest_digest);

    let shell = Shell {
        directory: path,
        variables: vec![
            ("HELM_SIGSTORE_TRUSTED_ROOT", "trusted_root.json".to_owned()),
            ("HELM_SIGSTORE_SIGNING_CONFIG", "signing_config.json".to_owned()),
            ("HELM_SIGSTORE_PLAIN_HTTP", "true".to_owned()),
            ("SIGSTORE_ID_TOKEN", token),
        ],
    };
    let who =
        ["--certificate-identity", identity.as_str(), "--certificate-oidc-issuer", issuer.as_str()];
    let with = |first: &[&'static str]| -> Vec<String> {
        first.iter().map(|word| (*word).to_owned()).chain(who.map(str::to_owned)).collect()
    };
    let run = |words: Vec<String>, expected: i32| {
        shell.run(&words.iter().map(String::as_str).collect::<Vec<_>>(), expected)
    };

    println!("\n# Nothing is signed yet, and that is what verify says.");
    let mut unsigned = with(&["verify"]);
    unsigned.insert(1, reference.clone());
    run(unsigned.clone(), 3)?;

    println!("\n# The publisher signs what was pushed.");
    shell.run(&["sign", "web-1.4.2.tgz", "--repository", &repository], 0)?;

    println!("\n# The operator verifies it by reference and keeps the bundle …");
    let mut by_reference =
        with(&["verify", "--version", "^1", "--bundle-out", "web.sigstore.json"]);
    by_reference.insert(1, format!("{repository}/web"));
    run(by_reference, 0)?;

    println!("\n# … and verifies the packaged chart with it, without any network.");
    run(with(&["verify", "web-1.4.2.tgz", "--bundle", "web.sigstore.json", "--offline"]), 0)?;

    println!("\n# Who may sign is part of the question.");
    shell.run(
        &[
            "verify",
            &reference,
            "--certificate-identity",
            "mallory@example.com",
            "--certificate-oidc-issuer",
            &issuer,
        ],
        5,
    )?;

    println!("\n# Somebody changes the chart.");
    let tampered = Chart::new("web", "1.4.2").description("A small chart with a large surprise");
    println!("$ vi web/Chart.yaml && helm package web");
    std::fs::write(path.join("web-1.4.2.tgz"), tampered.tgz())?;
    run(with(&["verify", "web-1.4.2.tgz", "--bundle", "web.sigstore.json", "--offline"]), 5)?;

    println!("\n# Somebody pushes it under the same tag.");
    println!("$ helm push web-1.4.2.tgz {repository} --plain-http");
    registry.push_chart("acme/charts/web", &tampered);
    run(unsigned, 3)?;

    if stay {
        registry.push_chart("acme/charts/web", &chart);
        chart.write_to(path)?;
        println!("\nBoth stay up until Ctrl-C. For your own helm and cosign:");
        println!("cd {}", path.display());
        println!(
            "export HELM_SIGSTORE_TRUSTED_ROOT=$PWD/trusted_root.json HELM_SIGSTORE_SIGNING_CONFIG=$PWD/signing_config.json"
        );
        println!("export HELM_SIGSTORE_PLAIN_HTTP=true SIGSTORE_ID_TOKEN=$(cat token)");
        println!("helm push web-1.4.2.tgz {repository} --plain-http");
        println!("helm sigstore sign {reference}");
        println!(
            "cosign verify --trusted-root trusted_root.json --certificate-identity {identity} \\"
        );
        println!("  --certificate-oidc-issuer {issuer} {}", reference.trim_start_matches("oci://"));
        wait_for_interrupt()?;
    }
    println!("\nDone: every step ended as it should.");
    Ok(())
}

/// Waits for Ctrl-C, so that the directory and the servers are taken down in good order.
fn wait_for_interrupt() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}
