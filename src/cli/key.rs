//! `key generate`, and the keys that `sign` and `verify` are given.

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::{GenerateArgs, KeyCommand};
use super::{Context, Ended, confirm};
use crate::error::{Error, Result};
use crate::sign::{MAX_KEY_BYTES, NewKey, PrivateKey};
use crate::verify::PublicKey;

/// Where the password of a key is found, as cosign finds it.
const PASSWORD: &str = "COSIGN_PASSWORD";

#[inline(never)]
pub(super) fn run(command: KeyCommand, context: &mut Context<'_, '_>) -> Result<Ended> {
    match command {
        KeyCommand::Generate(arguments) => generate(&arguments, context),
    }
}

fn generate(arguments: &GenerateArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let prefix = &arguments.output_key_prefix;
    let private = PathBuf::from(format!("{prefix}.key"));
    let public = PathBuf::from(format!("{prefix}.pub"));
    let existing = [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok());
    if let Some(path) = existing.filter(|_| !arguments.force) {
        let object = path.display().to_string();
        if !context.interactive {
            return Err(Error::usage("file exists")
                .on(object)
                .cause("what was signed with its key is not verified with a new one")
                .hint("another name: --output-key-prefix NAME; to replace it: --force"));
        }
        if !confirm(context, &format!("{object} exists: replace the key? [y/N] ")) {
            return Err(
                Error::usage("no key was made").cause("the question was not answered with yes")
            );
        }
    }
    let password = password(context, true)?;
    if password.is_empty() {
        context.world.warn(format!(
            "the password is empty: whoever reads {} can sign with it",
            private.display()
        ));
    }
    let key = NewKey::generate(&password)?;
    let replace = existing.is_some();
    write_key(&private, key.private_pem.as_bytes(), true, replace)?;
    write_key(&public, key.public.to_pem().as_bytes(), false, replace)?;
    Ok(Ended::Text(format!(
        "Private key: {}\nPublic key: {}\nKey: {}\n",
        super::words::escape(&private.display().to_string()),
        super::words::escape(&public.display().to_string()),
        key.public.id(),
    )))
}

/// Writes a new file, which nobody may have made meanwhile; or, to `replace` one, a file beside it that is
/// moved there: never half a key, and never through a link. A private one is never readable by others.
fn write_key(path: &Path, bytes: &[u8], secret: bool, replace: bool) -> Result<()> {
    let mut beside = std::ffi::OsString::from(".");
    beside.push(path.file_name().unwrap_or_default());
    beside.push(format!(".{}", std::process::id()));
    let target = if replace { path.with_file_name(beside) } else { path.to_owned() };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    let written = options.open(&target).and_then(|mut file| {
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| if replace { std::fs::rename(&target, path) } else { Ok(()) });
        if written.is_err() {
            let _ = std::fs::remove_file(&target);
        }
        written
    });
    written.map_err(|error| {
        Error::usage("cannot write key").on(path.display().to_string()).cause(error.to_string())
    })
}

/// The private key that `--key` names; its password is asked for where it has one.
pub(super) fn private(named: &str, context: &mut Context<'_, '_>) -> Result<PrivateKey> {
    let text = read(named, context)?;
    let sealed = Cell::new(false);
    let key = PrivateKey::parse(&text, || {
        sealed.set(true);
        password(context, false)
    })
    .map_err(|error| error.on(named))?;
    if !sealed.get() && readable_by_others(Path::new(named)) {
        context.world.warn(format!(
            "{named} is not encrypted and others may read it: chmod 600 {}",
            crate::chart::shell_word(named)
        ));
    }
    Ok(key)
}

/// The public key that `--key` names.
pub(super) fn public(named: &str, context: &Context<'_, '_>) -> Result<PublicKey> {
    let text = read(named, context)?;
    PublicKey::from_pem(&text).map_err(|error| error.on(named))
}

/// A file, or with `env://NAME` a variable.
fn read(named: &str, context: &Context<'_, '_>) -> Result<Zeroizing<Vec<u8>>> {
    if let Some(name) = named.strip_prefix("env://") {
        return match context.environment.value(name) {
            Some(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            None => Err(Error::usage("no such variable").on(named)),
        };
    }
    let scheme = named.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some() || named.starts_with("pkcs11:") {
        return Err(Error::usage("cannot use this kind of key")
            .on(named)
            .cause("keys are files or variables (env://NAME); none in hardware or at a cloud"));
    }
    let file = named.to_owned();
    context.driver.reading(Path::new(named), move || read_file(&file))
}

fn read_file(named: &str) -> Result<Zeroizing<Vec<u8>>> {
    let cannot =
        |error: std::io::Error| Error::usage("cannot open key").on(named).cause(error.to_string());
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_BYTES));
    std::fs::File::open(named)
        .map_err(cannot)?
        .take(MAX_KEY_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() > MAX_KEY_BYTES {
        return Err(Error::usage("not a key")
            .on(named)
            .cause(format!("it is larger than {MAX_KEY_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The password: `COSIGN_PASSWORD`, which may be empty, or what a person types, twice for a new key.
fn password(context: &mut Context<'_, '_>, new: bool) -> Result<Zeroizing<String>> {
    if let Some(password) = context.environment.given(PASSWORD) {
        return Ok(Zeroizing::new(password.to_owned()));
    }
    if !context.interactive {
        return Err(Error::usage("no password for the private key")
            .cause(format!("{PASSWORD} is not set, and nobody is there to be asked")));
    }
    let asked = std::time::Instant::now();
    let typed = ask("Password for the private key: ").and_then(|first| {
        if new && *ask("The same again: ")? != *first {
            return Err(Error::usage("the passwords differ"));
        }
        Ok(first)
    });
    context.driver.forgive(asked.elapsed());
    typed
}

fn ask(question: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(question)
        .map(Zeroizing::new)
        .map_err(|error| Error::usage("no password for the private key").cause(error.to_string()))
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> bool {
    false
}
