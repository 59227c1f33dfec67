//! Branches and tags, case by case.

use super::super::{GitError, Patterns, RepositorySettings, Start};
use super::support::Repository;
use super::{Change, Watch, address, commits, describe};

fn repository(dir: &tempfile::TempDir) -> Repository {
    Repository::init(dir.path())
}

fn short(sha: &str) -> &str {
    &sha[..7]
}

#[test]
fn a_push_follows_its_commits() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("a.md", "1");
    let mut watch = Watch::new(&repository, Start::Now);
    assert_eq!(describe(&watch.poll(&repository)), Vec::<String>::new());
    let b = repository.commit_file("a.md", "2");
    let c = repository.commit_file("a.md", "3");
    let expected =
        [format!("main@{}", short(&b)), format!("main@{}", short(&c)), format!("main: {}..{} 2", short(&a), short(&c))];
    assert_eq!(describe(&watch.poll(&repository)), expected);
    assert_eq!(describe(&watch.poll(&repository)), Vec::<String>::new());
}

#[test]
fn history_starts_at_the_root_and_a_commit_after_itself() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let shas: Vec<String> = (0..4).map(|n| repository.commit_file("a.md", &n.to_string())).collect();
    let mut watch = Watch::new(&repository, Start::History);
    assert_eq!(commits(&watch.poll(&repository), "main"), shas);
    assert!(watch.published.iter().all(|change| matches!(change, Change::Commit { .. })), "a start is no push");
    let mut watch = Watch::new(&repository, Start::Commit(shas[1].parse().unwrap()));
    assert_eq!(commits(&watch.poll(&repository), "main"), shas[2..]);
    let absent = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = Watch::new(&repository, Start::Commit(absent)).try_poll(&repository);
    assert!(matches!(error, Err(GitError::UnknownCommit { .. })));
}

#[test]
fn a_new_branch_starts_at_its_fork_point_and_a_merge_brings_its_commits_to_main() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    repository.commit_file("a.md", "1");
    let mut watch = Watch::new(&repository, Start::Now);
    watch.poll(&repository);
    repository.git(&["checkout", "-q", "-b", "feature"]);
    let f = repository.commit_file("f.md", "1");
    let expected = [format!("feature@{}", short(&f)), format!("feature: -..{} 1", short(&f))];
    assert_eq!(describe(&watch.poll(&repository)), expected);
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["merge", "-q", "--no-ff", "-m", "merge", "feature"]);
    let merge = repository.head();
    assert_eq!(commits(&watch.poll(&repository), "main"), [f, merge], "once per branch, parents first");
}

#[test]
fn a_forced_push_is_marked_and_repeats_nothing_when_it_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("a.md", "1");
    let b = repository.commit_file("a.md", "2");
    let mut watch = Watch::new(&repository, Start::History);
    watch.poll(&repository);
    repository.git(&["reset", "-q", "--hard", &a]);
    let c = repository.commit_file("a.md", "3");
    let expected = [format!("main@{}", short(&c)), format!("main: {}..{} 1 forced", short(&b), short(&c))];
    assert_eq!(describe(&watch.poll(&repository)), expected);
    repository.git(&["reset", "-q", "--hard", &b]);
    assert_eq!(describe(&watch.poll(&repository)), [format!("main: {}..{} 0 forced", short(&c), short(&b))]);
    repository.git(&["reset", "-q", "--hard", &a]);
    assert_eq!(describe(&watch.poll(&repository)), [format!("main: {}..{} 0 forced", short(&b), short(&a))]);
}

#[test]
fn a_tip_that_was_collected_as_garbage_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("a.md", "1");
    repository.commit_file("a.md", "2");
    let mut watch = Watch::new(&repository, Start::Now);
    watch.poll(&repository);
    repository.git(&["reset", "-q", "--hard", &a]);
    let c = repository.commit_file("a.md", "3");
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "-q", "--prune=now"]);
    let changes = watch.poll(&repository);
    assert_eq!(commits(&changes, "main").last(), Some(&c), "repeating is safe, skipping is not");
    assert!(matches!(changes.last(), Some(Change::Push { forced: true, .. })));
}

#[test]
fn a_deleted_branch_that_comes_back_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    repository.commit_file("a.md", "1");
    repository.git(&["checkout", "-q", "-b", "feature"]);
    let f = repository.commit_file("f.md", "1");
    let mut watch = Watch::new(&repository, Start::History);
    watch.poll(&repository);
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["branch", "-q", "-D", "feature"]);
    assert_eq!(describe(&watch.poll(&repository)), [format!("feature: {}..- 0", short(&f))]);
    assert_eq!(describe(&watch.poll(&repository)), Vec::<String>::new());
    repository.git(&["checkout", "-q", "-b", "feature", &f]);
    let g = repository.commit_file("f.md", "2");
    let expected = [format!("feature@{}", short(&g)), format!("feature: -..{} 1", short(&g))];
    assert_eq!(describe(&watch.poll(&repository)), expected);
}

#[test]
fn tags_are_created_moved_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("a.md", "1");
    repository.git(&["tag", "before"]);
    let mut watch = Watch::new(&repository, Start::Now);
    watch.poll(&repository);
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "noted", "-m", "a note"]);
    let changes = watch.poll(&repository);
    assert_eq!(describe(&changes), [format!("tag light: -..{}", short(&a)), format!("tag noted: -..{}", short(&a))]);
    let Change::Tag { after: Some(noted), .. } = &changes[1] else { panic!("{changes:?}") };
    let annotation = noted.annotation.as_ref().unwrap();
    assert_eq!((annotation.message.trim(), annotation.tagger.as_ref().unwrap().name.as_str()), ("a note", "Grace"));
    let b = repository.commit_file("a.md", "2");
    repository.git(&["tag", "-f", "light"]);
    repository.git(&["tag", "-d", "before"]);
    let changes = watch.poll(&repository);
    let expected = [format!("tag light: {}..{}", short(&a), short(&b)), format!("tag before: {}..-", short(&a))];
    assert_eq!(describe(&changes)[2..], expected);
    assert_eq!(describe(&watch.poll(&repository)), Vec::<String>::new());
    let mut history = Watch::new(&repository, Start::History);
    assert_eq!(describe(&history.poll(&repository)).len(), 4, "two commits, then the tags that are there");
}

#[test]
fn patterns_choose_branches_and_paths() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("docs/a.md", "1");
    repository.commit_file("src/main.rs", "1");
    repository.git(&["mv", "docs/a.md", "src/a.txt"]);
    let moved = repository.commit("out of docs");
    repository.git(&["branch", "-q", "other"]);
    let mut settings = RepositorySettings::new(address(&repository));
    settings.start = Start::History;
    settings.branches = Patterns::new(&["main"]).unwrap();
    settings.paths = Patterns::new(&["docs/**"]).unwrap();
    let mut watch = Watch::with(settings.clone());
    assert_eq!(describe(&watch.poll(&repository)), [format!("main@{}", short(&a)), format!("main@{}", short(&moved))]);
    // Taking a pattern away is no deletion.
    settings.branches = Patterns::new(&["other"]).unwrap();
    let offsets = std::mem::take(&mut watch.offsets);
    let mut watch = Watch { offsets, ..Watch::with(settings) };
    assert_eq!(describe(&watch.poll(&repository)), [format!("other: -..{} 0", short(&moved))]);
}

#[test]
fn an_empty_repository_begins_with_its_first_commit() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let mut watch = Watch::new(&repository, Start::Now);
    assert_eq!(describe(&watch.poll(&repository)), Vec::<String>::new());
    let a = repository.commit_file("a.md", "1");
    assert_eq!(commits(&watch.poll(&repository), "main"), [a]);
}

#[test]
fn a_shallow_repository_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Repository::init(dir.path().join("whole"));
    whole.commit_file("a.md", "1");
    whole.commit_file("a.md", "2");
    let shallow = dir.path().join("shallow");
    whole.git(&["clone", "-q", "--depth", "1", &format!("file://{}", whole.url()), shallow.to_str().unwrap()]);
    let shallow = Repository { path: shallow };
    let error = Watch::new(&shallow, Start::History).try_poll(&shallow).unwrap_err();
    assert!(matches!(error, GitError::Shallow { .. }) && error.to_string().contains("--unshallow"), "{error}");
}

#[test]
fn a_detached_checkout_without_branches_is_a_branch_named_head() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    let a = repository.commit_file("a.md", "1");
    repository.git(&["checkout", "-q", "--detach"]);
    repository.git(&["branch", "-q", "-D", "main"]);
    assert_eq!(commits(&Watch::new(&repository, Start::History).poll(&repository), "HEAD"), [a]);
}

#[test]
fn large_commits_list_their_first_files_and_long_messages_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository(&dir);
    for n in 0..2_500 {
        repository.write(format!("many/{n:05}.md"), "x");
    }
    repository.git(&["add", "-A"]);
    std::fs::write(dir.path().join(".git/message"), "é".repeat(100_000)).unwrap();
    repository.git(&["commit", "-q", "-F", ".git/message"]);
    let changes = Watch::new(&repository, Start::History).poll(&repository);
    let [Change::Commit { commit, files_truncated, .. }] = &changes[..] else { panic!("{} changes", changes.len()) };
    assert_eq!((commit.changed_files.len(), *files_truncated), (2_000, true));
    assert!(commit.message.len() < 66_000 && commit.message.ends_with('…'));
}
