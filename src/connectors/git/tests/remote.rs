//! Repositories elsewhere: git itself serves them over HTTP.

use std::path::PathBuf;

use coafi_testcontainers::GitHost;

use super::super::{Address, Blob, GitError, Repositories, RepositoriesSettings};
use super::support::Repository;
use crate::dispatch::Failure;
use crate::engine::{Class, Dependency};

fn repositories(cache_dir: PathBuf) -> Repositories {
    Repositories::new(RepositoriesSettings { cache_dir, ..RepositoriesSettings::default() })
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
