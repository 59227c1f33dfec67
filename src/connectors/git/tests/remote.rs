//! Repositories elsewhere: git itself serves them over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::{Blob, GitError, Repositories, RepositoriesSettings};
use super::support::Repository;

/// Serves the repository until the test's process ends. Gives the server's address.
fn serve(repository: &Repository) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, path) = (listener.local_addr().unwrap(), repository.path.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let path = path.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &path));
        }
    });
    address
}

/// Git's smart HTTP protocol, one request a connection.
fn answer(stream: TcpStream, repository: &Path) {
    let mut request = BufReader::new(&stream);
    let mut line = String::new();
    request.read_line(&mut line).unwrap();
    let (mut protocol, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut header = String::new();
        if request.read_line(&mut header).unwrap() == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.trim().split_once(": ").unwrap();
        match name.to_ascii_lowercase().as_str() {
            "git-protocol" => value.clone_into(&mut protocol),
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = value == "chunked",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body).unwrap();
    while chunked {
        let mut size = String::new();
        request.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        request.read_exact(&mut chunk).unwrap();
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    let advertises = line.starts_with("GET ");
    let mut git = Command::new("git");
    git.args(["upload-pack", "--stateless-rpc"]).args(advertises.then_some("--advertise-refs")).arg(repository);
    git.env("GIT_PROTOCOL", protocol).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut git = git.spawn().unwrap();
    git.stdin.take().unwrap().write_all(&body).unwrap();
    let output = git.wait_with_output().unwrap().stdout;
    let (kind, service) =
        if advertises { ("advertisement", &b"001e# service=git-upload-pack\n0000"[..]) } else { ("result", &b""[..]) };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n");
    // A client that was interrupted no longer listens.
    let _gone = (&stream).write_all(&[head.as_bytes(), service, &output].concat());
}

fn repositories(cache_dir: PathBuf) -> Repositories {
    Repositories::new(RepositoriesSettings { cache_dir, ..RepositoriesSettings::default() })
}

#[tokio::test]
async fn a_handler_s_read_clones_once_and_fetches_what_is_newer_than_the_clone() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("served"));
    let first = repository.commit_file("a.md", "1");
    let url = format!("http://{}/team/r.git", serve(&repository));
    let repositories = repositories(dir.path().join("cache"));
    let read = async |sha: &str| repositories.blob(&url, sha, b"a.md", 100).await;
    let (one, other) = tokio::join!(read(&first), read(&first));
    assert_eq!((one.unwrap(), other.unwrap()), (Blob::Text(b"1".to_vec()), Blob::Text(b"1".to_vec())));
    let mirrors: Vec<_> = std::fs::read_dir(dir.path().join("cache")).unwrap().collect();
    assert_eq!(mirrors.len(), 1, "{mirrors:?}");

    let second = repository.commit_file("a.md", "2");
    assert_eq!(read(&second).await.unwrap(), Blob::Text(b"2".to_vec()));
    let absent = "0123456789012345678901234567890123456789";
    assert!(matches!(read(absent).await, Err(GitError::UnknownCommit { .. })));

    // Told to stop, it reads what it has and fetches nothing.
    repositories.stop().await;
    let third = repository.commit_file("a.md", "3");
    assert!(matches!(read(&third).await, Err(GitError::Stopped { .. })));
    assert_eq!(read(&first).await.unwrap(), Blob::Text(b"1".to_vec()));
}
