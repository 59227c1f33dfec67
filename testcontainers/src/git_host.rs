//! A server of one git repository over HTTP, as hosts like GitHub have it: git itself answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::port;

/// Until it is dropped, or killed.
#[derive(Debug)]
pub struct GitHost {
    repository: PathBuf,
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl GitHost {
    /// # Errors
    /// No port is free.
    pub fn start(repository: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let (repository, address) = (repository.into(), port::free_address()?);
        let listener = port::listen(address)?;
        let running = Some(Running::serve(listener, repository.clone()));
        Ok(Self { repository, address, running })
    }

    /// Of the repository, whose name there is anything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/team/r.git", self.origin())
    }

    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections are refused from now on.
    pub fn kill(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop.store(true, Ordering::SeqCst);
            // It waits for one.
            let _woken = TcpStream::connect(self.address);
            let _ended = thread.join();
        }
    }

    /// At the same address.
    ///
    /// # Errors
    /// Somebody else has taken it meanwhile.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let listener = port::listen(self.address)?;
        self.running = Some(Running::serve(listener, self.repository.clone()));
        Ok(())
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn serve(listener: TcpListener, repository: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let repository = repository.clone();
                std::thread::spawn(move || {
                    // A client that was interrupted no longer listens.
                    let _gone = stream.and_then(|stream| answer(&stream, &repository));
                });
            }
        });
        Self { stop, thread }
    }
}

/// Git's smart HTTP protocol, one request a connection.
fn answer(stream: &TcpStream, repository: &Path) -> std::io::Result<()> {
    let mut request = BufReader::new(stream);
    let mut line = String::new();
    request.read_line(&mut line)?;
    let (mut protocol, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut header = String::new();
        if request.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let Some((name, value)) = header.trim().split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "git-protocol" => value.clone_into(&mut protocol),
            "content-length" => length = value.parse().unwrap_or_default(),
            "transfer-encoding" => chunked = value == "chunked",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        request.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        let mut chunk = vec![0; size + 2];
        request.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    if line.starts_with("HEAD ") {
        let mut stream = stream;
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let advertises = line.starts_with("GET ");
    let mut git = Command::new("git");
    git.args(["upload-pack", "--stateless-rpc"]).args(advertises.then_some("--advertise-refs")).arg(repository);
    git.env("GIT_PROTOCOL", protocol).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut git = git.spawn()?;
    if let Some(mut input) = git.stdin.take() {
        input.write_all(&body)?;
    }
    let output = git.wait_with_output()?.stdout;
    let (kind, service) =
        if advertises { ("advertisement", &b"001e# service=git-upload-pack\n0000"[..]) } else { ("result", &b""[..]) };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n");
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), service, &output].concat())
}
