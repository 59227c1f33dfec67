//! One HTTP request, and the whole answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A server that takes longer hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// `None`: nobody answers.
pub(crate) fn get(url: &str) -> Option<Answer> {
    ask("GET", url, "")
}

/// To a schema registry.
pub(crate) fn post(url: &str, body: &str) -> Option<Answer> {
    ask("POST", url, body)
}

fn ask(method: &str, url: &str, body: &str) -> Option<Answer> {
    let (host, path) = url.strip_prefix("http://").expect("an http URL").split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    let kind = "application/vnd.schemaregistry.v1+json";
    let head = format!("Host: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
    write!(stream, "{method} /{path} HTTP/1.0\r\n{head}\r\n\r\n{body}").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}
