//! `kit serve`: the test kit's servers for peers that are not Rust tests.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use helm_sigstore_kit::proxy::Proxy;
use helm_sigstore_kit::registry::{Auth, Bearer, Options as RegistryOptions, Registry};
use helm_sigstore_kit::sigstore::{Identity, IssuerKind, Options, RekorVersion, Service, Sigstore};
use helm_sigstore_kit::tuf::Tuf;

const USAGE: &str = "\
usage: kit serve [--dir DIR] [--env FILE] [--only SERVICE,…] [--rekor v1|v2|v1,v2] [--no-tsa] [--registry]
       kit tuf [--dir DIR] [--env FILE] NAME=FILE…
       kit proxy HOST:PORT

Starts a Sigstore on loopback ports, writes its documents, keys and identity tokens into DIR (./kit) and shell
`export` lines into FILE (DIR/env), prints `ready`, and stays until SIGINT or SIGTERM.

  --only      which services the environment names: oidc, fulcio, ct, rekor-v1, rekor-v2, tsa
  --rekor     which logs the signing config offers (v1)
  --no-tsa    offer no timestamp authority
  --registry  start three OCI registries too: KIT_REGISTRY lists referrers, KIT_REGISTRY_FALLBACK does not, and
              KIT_REGISTRY_NETWORK holds the same as that one, but asks for tokens and sends blobs from elsewhere

`kit tuf` serves a TUF repository with these files as its targets instead, writes its first root into DIR/root.json,
and names the two as KIT_TUF_URL and KIT_TUF_ROOT.

`kit proxy` serves what that server serves, counts what passes and delays responses as it is told to: it prints
`ready: HOST:PORT URL`, the second being that of its control (GET /counts, GET /reset?delay=MILLISECONDS).
";

/// The life of the tokens that are written into the directory. `GET KIT_OIDC_URL/token?kind=github` makes fresh ones.
const TOKEN_SECONDS: i64 = 24 * 3600;

type Failure = Box<dyn std::error::Error>;

struct Arguments {
    dir: PathBuf,
    env: Option<PathBuf>,
    only: Vec<Service>,
    options: Options,
    registry: bool,
}

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("serve") => parse(words).and_then(|arguments| serve(&arguments)),
        Some("tuf") => serve_tuf(words),
        Some("proxy") => serve_proxy(words),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, Failure> {
    let mut arguments = Arguments {
        dir: PathBuf::from("kit"),
        env: None,
        only: Service::ALL.to_vec(),
        options: Options::default(),
        registry: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--dir" => arguments.dir = value()?.into(),
            "--env" => arguments.env = Some(value()?.into()),
            "--only" => {
                arguments.only = list(&value()?, Service::from_name)?;
            }
            "--rekor" => {
                arguments.options.rekor = list(&value()?, |name| match name {
                    "v1" => Some(RekorVersion::V1),
                    "v2" => Some(RekorVersion::V2),
                    _ => None,
                })?;
            }
            "--no-tsa" => arguments.options.tsa = false,
            "--registry" => arguments.registry = true,
            _ => return Err(format!("unknown argument {word}\n\n{USAGE}").into()),
        }
    }
    Ok(arguments)
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    text.split(',')
        .map(|name| parse(name).ok_or_else(|| format!("unknown {name}").into()))
        .collect()
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Listened for before `ready` is said, so that whoever reads it may end us in good order at once.
        let mut end = End::listen()?;
        let sigstore = Sigstore::try_start(arguments.options.clone())?;
        let registries = if arguments.registry {
            let fallback = Registry::start(RegistryOptions::fallback());
            let tokens = Bearer { anonymous_pull: true, ..Bearer::new("kit", "kit") };
            let network = Registry::start(RegistryOptions {
                auth: Auth::Bearer(tokens),
                content_network: true,
                store: Some(fallback.store()),
                ..RegistryOptions::fallback()
            });
            vec![
                ("KIT_REGISTRY", Registry::start(RegistryOptions::default())),
                ("KIT_REGISTRY_FALLBACK", fallback),
                ("KIT_REGISTRY_NETWORK", network),
            ]
        } else {
            Vec::new()
        };
        let env = prepare(arguments, &sigstore, &registries)?;
        println!("ready: {}", env.display());
        end.wait().await?;
        Ok(())
    })
}

/// A TUF repository of given files.
fn serve_tuf(mut words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let (mut dir, mut env_file) = (PathBuf::from("kit"), None);
    let mut targets = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match (word.as_str(), word.split_once('=')) {
            ("--dir", _) => dir = value()?.into(),
            ("--env", _) => env_file = Some(PathBuf::from(value()?)),
            (_, Some((name, file))) if !name.starts_with('-') => {
                targets.push((name.to_owned(), std::fs::read_to_string(file)?));
            }
            _ => return Err(format!("unknown argument {word}\n\n{USAGE}").into()),
        }
    }
    std::fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut end = End::listen()?;
        let targets: Vec<_> =
            targets.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let tuf = Tuf::start(&targets);
        let root = dir.join("root.json");
        std::fs::write(&root, tuf.root())?;
        let mut env = String::new();
        export(&mut env, "KIT_TUF_URL", &tuf.url())?;
        export_path(&mut env, "TUF_ROOT", &root)?;
        let path = publish(env_file.as_deref(), &dir, env)?;
        println!("ready: {}", path.display());
        end.wait().await?;
        Ok(())
    })
}

/// A counting proxy in front of one server.
fn serve_proxy(mut words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let (Some(server), None) = (words.next(), words.next()) else { return Err(USAGE.into()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut end = End::listen()?;
        let proxy = Proxy::start(&server)?;
        println!("ready: {} {}", proxy.host(), proxy.control());
        end.wait().await?;
        Ok(())
    })
}

/// The signals that end the servers.
#[cfg(unix)]
struct End {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl End {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Ok(())
    }
}

/// Elsewhere there is Ctrl-C alone.
#[cfg(not(unix))]
struct End;

#[cfg(not(unix))]
impl End {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn wait(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

/// Writes the files and says where the environment is.
fn prepare(
    arguments: &Arguments,
    sigstore: &Sigstore,
    registries: &[(&str, Registry)],
) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(&arguments.dir)?;
    let dir = arguments.dir.canonicalize()?;
    sigstore.write_files(&dir)?;
    let mut env = String::new();
    for service in &arguments.only {
        export(
            &mut env,
            &format!("KIT_{}_URL", variable(service.name())),
            &sigstore.url(*service),
        )?;
    }
    if arguments.only.contains(&Service::Tsa) {
        export(&mut env, "KIT_TSA_FULL_URL", &sigstore.tsa_url())?;
    }
    let documents = ["trusted_root", "signing_config", "trust_config"];
    for name in documents {
        export_path(&mut env, &variable(name), &dir.join(name).with_extension("json"))?;
    }
    for (name, file) in [
        ("CT_PUBLIC_KEY", "ct.pub"),
        ("REKOR_V1_PUBLIC_KEY", "rekor-v1.pub"),
        ("REKOR_V2_PUBLIC_KEY", "rekor-v2.pub"),
        ("FULCIO_CHAIN", "fulcio.pem"),
        ("TSA_CHAIN", "tsa.pem"),
    ] {
        export_path(&mut env, name, &dir.join(file))?;
    }
    for kind in IssuerKind::ALL {
        let issuer = sigstore.issuer_url(kind);
        let identity = Identity::of_kind(kind, None, &issuer);
        let path = dir.join(format!("token-{}", kind.name()));
        let name = variable(kind.name());
        export(&mut env, &format!("KIT_IDENTITY_{name}"), &identity.subject())?;
        std::fs::write(&path, sigstore.token(&identity.expires_in(TOKEN_SECONDS)))?;
        export_path(&mut env, &format!("TOKEN_{name}"), &path)?;
        export(&mut env, &format!("KIT_ISSUER_{name}"), &issuer)?;
    }
    // A workflow of `acme/workflows` that builds `acme/charts`.
    let reusable = Identity::github("acme/workflows/.github/workflows/helm.yml@refs/tags/v3")
        .with_claim("repository", "acme/charts".into())
        .with_claim("ref", "refs/heads/main".into())
        .with_claim(
            "workflow_ref",
            "acme/charts/.github/workflows/release.yml@refs/heads/main".into(),
        )
        .expires_in(TOKEN_SECONDS);
    let path = dir.join("token-github-reusable");
    std::fs::write(&path, sigstore.token(&reusable))?;
    export_path(&mut env, "TOKEN_GITHUB_REUSABLE", &path)?;
    for (name, value) in sigstore.github_actions_env() {
        export(&mut env, &format!("KIT_{name}"), &value)?;
    }
    for (name, registry) in registries {
        export(&mut env, name, &registry.host())?;
    }
    publish(arguments.env.as_deref(), &dir, env)
}

/// Writes the environment into the file of that name, or `env` in the directory.
fn publish(file: Option<&Path>, dir: &Path, env: String) -> Result<PathBuf, Failure> {
    let path = file.map_or_else(|| dir.join("env"), Path::to_path_buf);
    // Complete or not at all: whoever waits for the file may read it at once.
    let partial = path.with_extension("partial");
    std::fs::write(&partial, env)?;
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

fn variable(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn export_path(env: &mut String, name: &str, path: &Path) -> Result<(), Failure> {
    let path = path.to_str().ok_or("the directory's path is not UTF-8")?;
    export(env, &format!("KIT_{name}"), path)
}

fn export(env: &mut String, name: &str, value: &str) -> Result<(), Failure> {
    writeln!(env, "export {name}='{}'", value.replace('\'', r"'\''"))?;
    Ok(())
}
