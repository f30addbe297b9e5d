//! A person signs in on another device, with a code (RFC 8628).

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use helm_sigstore::cli::{self, Environment, Process};
use helm_sigstore_kit::sigstore::{Fault, IssuerKind, Request};

use crate::sign_in_support::{get, on_a_terminal, person};
use crate::sign_support::{assert_hides, assert_nothing_public};
use crate::support::{Ended, World};

/// Standard error that is read while the command runs.
struct Watched {
    written: Vec<u8>,
    send: std::sync::mpsc::Sender<String>,
}

impl std::io::Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.written.extend_from_slice(bytes);
        let _ = self.send.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs the command on a terminal; beside it, `read` gets the address that stands after `or open `.
#[track_caller]
fn with_reader(
    world: &World,
    arguments: &[&str],
    read: impl FnOnce(&str) + Send + 'static,
) -> Ended {
    let (send, lines) = channel();
    let reader = reader(lines, read);
    let mut stderr = Watched { written: Vec::new(), send };
    let mut stdout = Vec::new();
    let code = cli::run(Process {
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        environment: Environment::new(world.environment.clone()),
        executable: || "helm-sigstore".to_owned(),
        stdin: &mut world.stdin.as_slice(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        stdin_is_terminal: true,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        clock: world.clock,
    });
    let stderr = String::from_utf8(std::mem::take(&mut stderr.written)).unwrap();
    reader.join().unwrap_or_else(|_| panic!("the reader failed: {stderr}"));
    Ended { code, stdout: String::from_utf8(stdout).unwrap(), stderr }
}

fn reader(lines: Receiver<String>, read: impl FnOnce(&str) + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while let Ok(text) = lines.recv_timeout(Duration::from_secs(30)) {
            if let Some((_, rest)) = text.split_once("or open ") {
                read(rest.split_once(" and compare").unwrap().0);
                return;
            }
        }
        panic!("no code was shown");
    })
}

fn polls(world: &World) -> usize {
    let requests = world.sigstore.requests();
    requests.iter().filter(|request| request.path.ends_with("/token")).count()
}

#[test]
fn a_person_signs_in_on_another_device() {
    let (world, reference) = person();
    let ended = with_reader(&world, &["sign", &reference, "--device"], |address| {
        // Not entered at once: the first question finds that nobody has.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(get(address).status, 200);
    })
    .exits(0);
    assert_hides(&ended, "eyJ");
    let issuer = world.sigstore.issuer_url(IssuerKind::Email);
    ended
        .says(&format!("To sign in, open {issuer}/device on any device and enter the code "))
        .says(&format!("signing as jane@example.com (token from sign-in at {issuer})"))
        .prints("Signed by: jane@example.com\n");
    assert_eq!(polls(&world), 2);
    assert!(!world.path("opened").exists(), "a browser was opened");
}

#[test]
fn where_there_is_no_browser_a_code_is_shown() {
    let (mut world, reference) = person();
    world.environment.remove("BROWSER");
    with_reader(&world, &["sign", &reference], |address| {
        get(address);
    })
    .exits(0)
    .prints("Signed by: jane@example.com\n");
}

#[test]
fn without_browser_and_codes_the_address_is_shown_and_can_be_opened_by_hand() {
    let (mut world, reference) = person();
    world.environment.remove("BROWSER");
    world.sigstore.set_fault(Fault::NoDevices);
    on_a_terminal(&world, &["sign", &reference, "--device"])
        .exits(2)
        .says("this issuer gives no codes for devices");
    world
        .environment
        .insert("BROWSER".into(), PathBuf::from("/no/such/browser").display().to_string());
    let (send, lines) = channel();
    let by_hand = std::thread::spawn(move || {
        while let Ok(text) = lines.recv_timeout(Duration::from_secs(30)) {
            let text: String = text;
            if let Some(at) = text.find("http://127.0.0.1").filter(|_| text.contains("/auth?")) {
                crate::sign_in_support::sign_in(text[at..].trim());
                return;
            }
        }
        panic!("no address was shown");
    });
    let mut stderr = Watched { written: Vec::new(), send };
    let code = cli::run(Process {
        arguments: vec!["sign".to_owned(), reference],
        environment: Environment::new(world.environment.clone()),
        executable: || "helm-sigstore".to_owned(),
        stdin: &mut world.stdin.as_slice(),
        stdout: &mut Vec::new(),
        stderr: &mut stderr,
        stdin_is_terminal: true,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        clock: world.clock,
    });
    by_hand.join().unwrap();
    let stderr = String::from_utf8_lossy(&stderr.written).into_owned();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("open this address in a browser on this machine"), "{stderr}");
}

#[test]
fn a_person_who_says_no_on_the_device_signs_nothing() {
    let (world, reference) = person();
    with_reader(&world, &["sign", &reference, "--device"], |address| {
        get(&format!("{address}&allow=no"));
    })
    .exits(2)
    .says("the issuer did not let you sign in")
    .says("access_denied");
    assert_nothing_public(&world);
}

#[test]
fn a_code_that_expired_is_given_up() {
    let (world, reference) = person();
    world.sigstore.set_fault(Fault::ShortLife);
    let started = Instant::now();
    with_reader(&world, &["sign", &reference, "--device"], |_| {})
        .exits(4)
        .says("the code expired before anybody had signed in");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_nothing_public(&world);
}

#[test]
fn an_issuer_that_asks_to_slow_down_is_asked_less_often() {
    let (world, reference) = person();
    world.sigstore.set_fault(Fault::SlowDown);
    let started = Instant::now();
    let sigstore = &world.sigstore;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // After one second comes the first question, which is told to slow down by five.
            let asked = |request: &Request| request.path.ends_with("/token");
            while !sigstore.requests().iter().any(asked) {
                assert!(started.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(500));
            sigstore.clear_faults();
        });
        with_reader(&world, &["sign", &reference, "--device"], |address| {
            get(address);
        })
        .exits(0);
    });
    assert!(started.elapsed() >= Duration::from_secs(7), "{:?}", started.elapsed());
    assert_eq!(polls(&world), 2);
}
