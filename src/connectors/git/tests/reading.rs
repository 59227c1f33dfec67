//! Changed files and contents, case by case.

use super::super::{Blob, ChangeStatus, ChangedFile, EntryType, GitError, Handle, Repositories, RepositoriesSettings};
use super::support::Repository;
use super::{describe, open};

use ChangeStatus::{Added, Deleted, Modified, Renamed, TypeChanged};
use EntryType::{Executable, File, Submodule, Symlink};

/// A changed file as `git diff-tree --name-status` writes it.
pub(super) fn name_status(file: &ChangedFile) -> String {
    let path = String::from_utf8_lossy(&file.path);
    match (file.status, &file.old_path) {
        (Added, None) => format!("A\t{path}"),
        (Modified, None) => format!("M\t{path}"),
        (Deleted, None) => format!("D\t{path}"),
        (TypeChanged, None) => format!("T\t{path}"),
        // Git adds the similarity; a moved file without changes has all of it.
        (Renamed, Some(old)) => format!("R100\t{}\t{path}", String::from_utf8_lossy(old)),
        other => panic!("{other:?}"),
    }
}

fn check(repository: &Repository, sha: &str, expected: &[(&str, ChangeStatus, EntryType, Option<&str>)]) {
    let changed = open(repository).changed_files(sha.parse().unwrap()).unwrap();
    let found: Vec<_> = (changed.iter())
        .map(|file| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&file.path), file.status, file.kind, file.old_path.as_deref().map(text))
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(path, status, kind, old)| ((*path).to_owned(), *status, *kind, old.map(str::to_owned)))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_kind_of_change() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
    repository.write("docs/a.md", &long);
    repository.write("docs/deep/er/b.md", "b");
    repository.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("docs/a.md", repository.path.join("link")).unwrap();
    let root = repository.commit("root");
    check(
        &repository,
        &root,
        &[
            ("docs/a.md", Added, File, None),
            ("docs/deep/er/b.md", Added, File, None),
            ("link", Added, Symlink, None),
            ("run.sh", Added, File, None),
        ],
    );

    repository.git(&["mv", "docs/a.md", "moved.md"]);
    repository.write("moved.md", long.replace("line 7", "line seven"));
    repository.git(&["rm", "-q", "docs/deep/er/b.md"]);
    repository.git(&["update-index", "--chmod=+x", "run.sh"]);
    repository.git(&["add", "moved.md"]);
    repository.git(&["commit", "-q", "-m", "changes"]);
    check(
        &repository,
        &repository.head(),
        &[
            ("docs/deep/er/b.md", Deleted, File, None),
            ("moved.md", Renamed, File, Some("docs/a.md")),
            ("run.sh", Modified, Executable, None),
        ],
    );

    repository.git(&["reset", "-q", "--hard"]);
    std::fs::remove_file(repository.path.join("link")).unwrap();
    repository.write("link", "now a file");
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{root},vendor/sub")]);
    repository.git(&["add", "link"]);
    repository.git(&["commit", "-q", "-m", "kinds"]);
    check(
        &repository,
        &repository.head(),
        &[("link", TypeChanged, File, None), ("vendor/sub", Added, Submodule, None)],
    );
}

#[test]
fn a_merge_is_compared_with_its_first_parent() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    repository.commit_file("base.md", "base");
    for branch in ["one", "two"] {
        repository.git(&["checkout", "-q", "-b", branch, "main"]);
        repository.commit_file(&format!("{branch}.md"), branch);
    }
    repository.git(&["checkout", "-q", "main"]);
    repository.commit_file("main.md", "main");
    repository.git(&["merge", "-q", "--no-ff", "-m", "octopus", "one", "two"]);
    check(&repository, &repository.head(), &[("one.md", Added, File, None), ("two.md", Added, File, None)]);
}

#[test]
fn names_that_are_not_utf8_stay_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    let name = b"caf\xe9 \xff.md";
    repository.write(std::ffi::OsStr::from_bytes(name), "latin");
    let sha = repository.commit("latin").parse().unwrap();
    let mut handle = open(&repository);
    assert_eq!(handle.changed_files(sha).unwrap()[0].path, name);
    assert_eq!(handle.blob(sha, name, 100).unwrap(), Blob::Text(b"latin".to_vec()));
}

#[tokio::test]
async fn contents_by_kind_size_and_absence() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    repository.write("a/text.md", "text");
    repository.write("binary", b"a\0b");
    repository.write("large", vec![b'x'; 5_000]);
    std::os::unix::fs::symlink("a/text.md", repository.path.join("link")).unwrap();
    repository.git(&["add", "-A"]);
    repository.git(&["update-index", "--add", "--cacheinfo", "160000,0123456789012345678901234567890123456789,sub"]);
    repository.git(&["commit", "-q", "-m", "all"]);
    let (url, sha) = (repository.url(), repository.head());
    let repositories = Repositories::new(RepositoriesSettings { open_max: 1, ..RepositoriesSettings::default() });
    for (path, expected) in [
        ("a/text.md", Blob::Text(b"text".to_vec())),
        ("binary", Blob::Binary { size: 3 }),
        ("large", Blob::TooLarge { size: 5_000 }),
        ("link", Blob::Symlink(b"a/text.md".to_vec())),
        ("sub", Blob::Submodule("0123456789012345678901234567890123456789".parse().unwrap())),
        ("a", Blob::Missing),
        ("a/text.md/below", Blob::Missing),
        ("a//text.md", Blob::Missing),
        ("../a", Blob::Missing),
        ("none", Blob::Missing),
    ] {
        assert_eq!(repositories.blob(&url, &sha, path.as_bytes(), 4_096).await.unwrap(), expected, "{path}");
    }
    for (path, expected) in [("a", true), ("a/text.md", true), ("", true), ("b", false), ("sub", true)] {
        assert_eq!(repositories.exists(&url, &sha, path.as_bytes()).await.unwrap(), expected, "{path}");
    }
}

#[test]
fn a_handle_at_rest_has_no_large_buffers() {
    const LARGE: usize = 2 * 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    repository.write("large", vec![b'x'; LARGE]);
    repository.git(&["add", "-A"]);
    let blob = repository.git(&["rev-parse", ":large"]);
    let mut handle = open(&repository);
    let read = |handle: &Handle| {
        let id: gix::ObjectId = blob.trim().parse().unwrap();
        assert_eq!(handle.repository.find_blob(id).unwrap().data.len(), LARGE);
    };
    let largest = |handle: &mut Handle| {
        let buffers = handle.repository.set_freelist(Some(Vec::new())).unwrap();
        buffers.iter().map(Vec::capacity).max()
    };
    read(&handle);
    assert!(largest(&mut handle) >= Some(LARGE), "gix keeps it for the next read");
    read(&handle);
    handle.rest();
    assert_eq!(largest(&mut handle), None);
}

#[tokio::test]
async fn each_error_has_its_class() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("there"));
    repository.commit_file("a.md", "a");
    let absent = "0123456789012345678901234567890123456789";
    let reachable = super::remote::loopback();
    let repositories = Repositories::new(RepositoriesSettings { reachable, ..RepositoriesSettings::default() });
    let class = async |url: &str, sha: &str| {
        repositories.changed_files(url, sha).await.unwrap_err().failure().class.to_string()
    };
    assert_eq!(class(&repository.url(), absent).await, "permanent");
    assert_eq!(class(&repository.url(), "HEAD").await, "permanent");
    assert_eq!(class("ssh://git@host/o/r", absent).await, "permanent");
    assert_eq!(class(dir.path().join("none").to_str().unwrap(), absent).await, "transient");
    assert_eq!(class("http://127.0.0.1:9/o/r", absent).await, "transient");

    let allowed = super::super::Patterns::new(&["https://host/**"]).unwrap();
    let strict = Repositories::new(RepositoriesSettings { allowed, ..RepositoriesSettings::default() });
    let error = strict.changed_files(&repository.url(), absent).await.unwrap_err();
    assert!(matches!(error, GitError::NotAllowed { .. }), "{error}");
}

/// A server that takes the connection and says nothing, as a large clone looks like from here.
#[tokio::test]
async fn a_handler_does_not_wait_for_a_clone_until_its_deadline() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = RepositoriesSettings {
        cache_dir: dir.path().to_owned(),
        wait_max: std::time::Duration::from_millis(10),
        reachable: super::remote::loopback(),
        ..RepositoriesSettings::default()
    };
    let repositories = Repositories::new(settings);
    let url = format!("http://{}/o/r", server.local_addr().unwrap());
    for _attempt in 0..2 {
        let error = repositories.changed_files(&url, "0123456789012345678901234567890123456789").await.unwrap_err();
        assert!(matches!(error, GitError::NotReady { .. }), "{error}");
        assert_eq!(error.failure().class.to_string(), "transient");
    }
    // Two attempts, one clone.
    let _connection = server.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_corrupt_object_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    let sha = repository.commit_file("a.md", "a");
    let object = repository.path.join(".git/objects").join(&sha[..2]).join(&sha[2..]);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, b"garbage").unwrap();
    let error = open(&repository).changed_files(sha.parse().unwrap()).unwrap_err();
    assert!(matches!(error, GitError::Corrupt { .. }), "{error}");
    let mut watch = super::Watch::new(&repository, super::Start::History);
    assert!(matches!(watch.try_poll(&repository), Err(GitError::Corrupt { .. })));
}

/// The system refuses to follow the link (ELOOP), as it refuses to look into a directory without permission or on a server
/// that is away: whether there is the object is not known. (Permissions would not do here, for tests may run as root.)
#[test]
fn what_the_system_does_not_let_us_read_is_neither_corrupt_nor_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    let sha = repository.commit_file("a.md", "a");
    let id = sha.parse().unwrap();
    let check = |object: &str, read: &dyn Fn(&mut Handle) -> GitError| {
        let file = repository.path.join(".git/objects").join(&object[..2]).join(&object[2..]);
        let kept = file.with_extension("kept");
        std::fs::rename(&file, &kept).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let error = read(&mut open(&repository));
        assert!(matches!(error, GitError::Machine { .. }), "{error}");
        assert_eq!(error.failure().class.to_string(), "transient");
        std::fs::rename(&kept, &file).unwrap();
    };
    check(&sha, &|handle| handle.changed_files(id).unwrap_err());
    check(&sha, &|handle| handle.blob(id, b"a.md", 100).unwrap_err());
    check(&repository.git(&["rev-parse", "HEAD:a.md"]), &|handle| handle.blob(id, b"a.md", 100).unwrap_err());
}

#[test]
fn a_linked_worktree_and_a_bare_clone_are_the_same_history() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path().join("main"));
    repository.commit_file("a.md", "a");
    let linked = dir.path().join("linked");
    repository.git(&["worktree", "add", "-q", "-b", "other", linked.to_str().unwrap()]);
    let bare = dir.path().join("bare.git");
    repository.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let history = |path: &std::path::Path| {
        let repository = Repository { path: path.to_owned() };
        describe(&super::Watch::new(&repository, super::Start::History).poll(&repository)).len()
    };
    assert_eq!((history(&linked), history(&bare), history(&repository.path)), (1, 1, 1));
}
