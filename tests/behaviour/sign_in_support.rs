//! A person with a browser: what `BROWSER` is told to open is opened by the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli_support::Setting;
use crate::support::{Ended, World};

/// How long anything here is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person in front of a terminal who has no token, a chart, and a browser that leaves what it has to open
/// in the file `opened`.
pub(crate) fn person() -> (World, String) {
    let mut world = World::new();
    let (reference, _) = world.push_web();
    world.environment.remove("SIGSTORE_ID_TOKEN");
    let (browser, opened) = (world.path("browser"), world.path("opened"));
    let script = format!("printf '%s' \"$1\" >{0}.new && mv {0}.new {0}", opened.display());
    helm_sigstore_kit::program::write(&browser, &script);
    world.environment.insert("BROWSER".into(), browser.display().to_string());
    (world, reference)
}

/// Runs the command on a terminal.
pub(crate) fn on_a_terminal(world: &World, arguments: &[&str]) -> Ended {
    Setting::terminal().run(world, arguments)
}

/// Runs the command on a terminal; beside it, `browse` gets each URL that the browser was told to open.
#[track_caller]
pub(crate) fn with_browser(
    world: &World,
    arguments: &[&str],
    times: usize,
    browse: impl FnMut(&str) + Send + 'static,
) -> Ended {
    let browser = browser(&world.path("opened"), times, browse);
    let ended = on_a_terminal(world, arguments);
    browser.join().unwrap();
    ended
}

fn browser(
    opened: &Path,
    times: usize,
    mut browse: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    let opened = opened.to_owned();
    std::thread::spawn(move || {
        for _ in 0..times {
            let started = Instant::now();
            let url = loop {
                match std::fs::read_to_string(&opened) {
                    Ok(url) => break url,
                    Err(_) if started.elapsed() > PATIENCE => panic!("no browser was opened"),
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            std::fs::remove_file(&opened).unwrap();
            browse(&url);
        }
    })
}

/// An answer as the browser sees it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) text: String,
}

/// GETs a URL of this machine, without following where it leads.
pub(crate) fn get(url: &str) -> Page {
    let (authority, target) = split(url);
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let text = send(authority, request.as_bytes());
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let location = text.lines().find_map(|line| {
        line.to_ascii_lowercase().starts_with("location: ").then(|| line[10..].trim().to_owned())
    });
    Page { status, location, text }
}

/// Sends bytes to a port of this machine, and reads what comes back.
pub(crate) fn send(authority: &str, bytes: &[u8]) -> String {
    let mut stream = connect(authority);
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A connection to a port of this machine.
pub(crate) fn connect(authority: &str) -> TcpStream {
    let stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// `HOST:PORT` and the rest of a URL.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// Signs in as a browser does: to the issuer, and back to where it leads.
pub(crate) fn sign_in(url: &str) -> Page {
    get(&come_back(url))
}

/// Where the issuer leads back to.
pub(crate) fn come_back(url: &str) -> String {
    let page = get(url);
    page.location.unwrap_or_else(|| panic!("the issuer leads nowhere: {}", page.text))
}

/// A parameter of a URL, still encoded.
pub(crate) fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    let (_, query) = url.split_once('?').unwrap();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name} in {url}")).1
}
