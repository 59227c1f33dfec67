//! Repositories elsewhere: git itself serves them over HTTP.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use coafi_testcontainers::GitHost;

use super::super::{Address, Blob, Credentials, GitError, Location, Repositories, RepositoriesSettings};
use super::support::Repository;
use crate::config::Secret;
use crate::dispatch::Failure;
use crate::engine::{Class, Dependency};
use crate::outgoing::Allowed;

fn repositories(cache_dir: PathBuf) -> Repositories {
    let reachable = loopback();
    Repositories::new(RepositoriesSettings { cache_dir, reachable, ..RepositoriesSettings::default() })
}

/// Of a commit that no server is asked for, because it does not come to that.
const SHA: &str = "0123456789012345678901234567890123456789";

/// Where servers of tests are.
pub(super) fn loopback() -> Vec<Allowed> {
    vec!["127.0.0.0/8".parse().unwrap()]
}

#[tokio::test]
async fn a_handler_s_read_clones_once_and_fetches_what_is_newer_than_the_clone() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("served"));
    let first = repository.commit_file("a.md", "1");
    let host = GitHost::start(&repository.path).unwrap();
    let url = host.url();
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

/// Nothing of it is kept, and whoever allows more gets it.
#[tokio::test]
async fn a_server_cannot_send_more_than_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("served"));
    // Hashes do not compress.
    let content: String =
        (0..2_000).map(|n: u32| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes()))).collect();
    let head = repository.commit_file("a.md", &content);
    let host = GitHost::start(&repository.path).unwrap();
    let read = async |fetch_max_bytes: u64| {
        let settings = RepositoriesSettings { cache_dir: dir.path().join("cache"), ..RepositoriesSettings::default() };
        let reachable = loopback();
        let repositories = Repositories::new(RepositoriesSettings { fetch_max_bytes, reachable, ..settings });
        repositories.blob(&host.url(), &head, b"a.md", 100_000).await
    };
    let refused = read(10_000).await.unwrap_err();
    assert!(matches!(refused, GitError::TooLarge { limit: 10_000, .. }), "{refused}");
    assert_eq!((refused.failure().class, refused.failure().code), (Class::Permanent, "git_too_large"));
    assert_eq!(read(1 << 20).await.unwrap(), Blob::Text(content.clone().into_bytes()));
}

/// To an event it is the repository's trouble; to whoever has it configured, an outage.
#[tokio::test]
async fn a_server_that_does_not_answer_is_an_outage_where_it_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("served"));
    let head = repository.commit_file("a.md", "1");
    let mut host = GitHost::start(&repository.path).unwrap();
    let (url, origin) = (host.url(), host.origin());
    host.kill();
    let known = vec![Address::parse(&url, dir.path()).unwrap()];
    let cache_dir = dir.path().join("cache");
    let told = Repositories::new(RepositoriesSettings { known, cache_dir, ..RepositoriesSettings::default() });
    let read = async |of: &Repositories| of.blob(&url, &head, b"a.md", 100).await.map_err(Failure::from);

    let failure = read(&repositories(dir.path().join("untold"))).await.unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Transient, "git_unreachable"));
    let failure = read(&told).await.unwrap_err();
    let systemic = Class::Systemic(Dependency::new(&format!("git:{origin}")));
    assert_eq!((failure.class, failure.code), (systemic, "git_host_unreachable"));
    assert!(told.host_answers(&origin).await.is_err());

    host.restart().unwrap();
    assert_eq!(told.host_answers(&origin).await, Ok(()));
    assert_eq!(read(&told).await.unwrap(), Blob::Text(b"1".to_vec()));
}

/// Neither by its address nor by a name of it, and not where an event says so: the server is never connected to.
#[tokio::test]
async fn a_server_that_only_an_event_names_is_not_looked_for_in_private_networks() {
    let dir = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    let cache_dir = dir.path().to_owned();
    let repositories = Repositories::new(RepositoriesSettings { cache_dir, ..RepositoriesSettings::default() });
    for host in ["127.0.0.1", "localhost", "2130706433"] {
        let error = repositories.changed_files(&format!("http://{host}:{port}/o/r"), SHA).await.unwrap_err();
        assert!(matches!(error, GitError::NotPublic { .. }), "{error}");
        assert!(error.to_string().contains("outgoing.allow can name it, or git.allowed its server"), "{error}");
        assert_eq!(error.failure().class, Class::Permanent);
    }
    assert_eq!(server.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/o/r", server.local_addr().unwrap());
    let location = format!("http://{}/o/r/info/refs?service=git-upload-pack", elsewhere.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let request = BufReader::new(connection.try_clone().unwrap());
        let _header = request.lines().map(Result::unwrap).take_while(|line| !line.is_empty()).count();
        write!(connection, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let error = repositories(dir.path().to_owned()).changed_files(&url, SHA).await.unwrap_err();
    answering.join().unwrap();
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// That gix refuses it says that it was given the password.
#[tokio::test]
async fn a_password_is_not_sent_in_the_clear_nor_shown() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("served"));
    let head = repository.commit_file("a.md", "1");
    let host = GitHost::start(&repository.path).unwrap();
    let mut address = Address::parse(&host.url(), dir.path()).unwrap();
    if let Location::Remote(remote) = &mut address.location {
        remote.credentials = Some(Credentials { username: "me".into(), password: Secret::new("hunter2") });
    }
    let (cache_dir, known) = (dir.path().join("cache"), vec![address]);
    let repositories = Repositories::new(RepositoriesSettings { cache_dir, known, ..RepositoriesSettings::default() });
    let error = repositories.blob(&host.url(), &head, b"a.md", 100).await.unwrap_err();
    assert!(error.to_string().contains("clear text"), "{error}");
    assert!(!format!("{error:?} {repositories:?}").contains("hunter2"), "{error:?} {repositories:?}");
}
