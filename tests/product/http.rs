//! One HTTP request, and the whole answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A server that takes longer hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `None`: nobody answers.
pub(crate) fn get(url: &str) -> Option<Answer> {
    ask("GET", url, &[], "")
}

/// To a schema registry.
pub(crate) fn post(url: &str, body: &str) -> Option<Answer> {
    ask("POST", url, &[("Content-Type", "application/vnd.schemaregistry.v1+json")], body)
}

/// With these headers besides those that every request has. `None`: nobody answers, or not like HTTP.
pub(crate) fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let (host, path) = url.strip_prefix("http://").expect("an http URL").split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    let mut head = format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    // A server may refuse the head, and close, before it has all of the body.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
