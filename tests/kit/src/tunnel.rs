//! A proxy that tunnels (`CONNECT`) to one place, whatever place it is asked for.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The largest head of a request that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy that leads everybody to `target` (`HOST:PORT`).
    ///
    /// # Panics
    /// If it cannot listen: no test can go on then.
    pub fn start(target: &str) -> Proxy {
        Proxy::listen(target, None)
    }

    /// The same for those alone who know a password.
    ///
    /// # Panics
    /// As [`Proxy::start`].
    pub fn start_with_password(target: &str, user: &str, password: &str) -> Proxy {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Proxy::listen(target, Some(format!("proxy-authorization: basic {pair}").to_lowercase()))
    }

    fn listen(target: &str, header: Option<String>) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (asked, stopped) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (log, stop, target) = (Arc::clone(&asked), Arc::clone(&stopped), target.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (log, target, header) = (Arc::clone(&log), target.clone(), header.clone());
                // Errors here are peers that went away.
                thread::spawn(move || drop(tunnel(stream, &target, header.as_deref(), &log)));
            }
        });
        Proxy { address, asked, stopped }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `METHOD TARGET` of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn tunnel(
    mut client: TcpStream,
    target: &str,
    header: Option<&str>,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0_u8; 1];
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let first = head.lines().next().unwrap_or_default();
    let asked: Vec<&str> = first.split(' ').take(2).collect();
    log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.join(" "));
    if header.is_some_and(|header| !head.to_lowercase().contains(header)) {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                      Proxy-Authenticate: Basic realm=\"kit\"\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(answer.as_bytes());
    }
    if !first.starts_with("CONNECT ") {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    to_client.shutdown(Shutdown::Write)
}
