//! The mirror: a file server with one connection for each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Fault, Served};
use crate::sigstore::Result;

/// The bytes that an endless answer sends before the client must have given up.
const ENDLESS: usize = 64 << 20;

pub(crate) struct Server {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(served: Arc<Mutex<Served>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (served, over) = (Arc::clone(&served), Arc::clone(&over));
                // A client that goes away in the middle is its own affair.
                std::thread::spawn(move || {
                    stream.and_then(|stream| answer(stream, &served, &over))
                });
            }
        });
        Ok(Self { port, ended })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The listener looks at its end when somebody knocks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answer(mut stream: TcpStream, served: &Mutex<Served>, over: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?.take(64 * 1024)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let Some(path) = first.split(' ').nth(1).map(str::to_owned) else { return Ok(()) };
    let (file, fault) = {
        let mut served = served.lock().unwrap_or_else(PoisonError::into_inner);
        served.requests.push(path.clone());
        let fault = served.faults.iter().find(|(part, _)| path.contains(part.as_str()));
        (served.files.get(&path).cloned(), fault.map(|(_, fault)| *fault))
    };
    let mut head = |status: &str, length: Option<usize>| {
        let length = length.map(|n| format!("Content-Length: {n}\r\n")).unwrap_or_default();
        stream
            .write_all(format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n").as_bytes())
    };
    match (fault, file) {
        (Some(Fault::Status), _) => head("503 Service Unavailable", Some(0)),
        (Some(Fault::Hang), _) => {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Ok(())
        }
        (Some(Fault::Endless), _) => {
            head("200 OK", None)?;
            let block = [b' '; 64 * 1024];
            (0..ENDLESS / block.len()).try_for_each(|_| stream.write_all(&block))
        }
        (Some(Fault::Cut), Some(bytes)) => {
            head("200 OK", Some(bytes.len()))?;
            stream.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())
        }
        (_, Some(bytes)) => {
            head("200 OK", Some(bytes.len()))?;
            stream.write_all(&bytes)
        }
        (_, None) => head("404 Not Found", Some(0)),
    }
}
