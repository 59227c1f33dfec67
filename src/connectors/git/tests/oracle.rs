//! Against `git rev-list` and `git diff-tree`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::support::{Random, Repository, generate_documents, random_history};
use super::{Change, Limits, Start, Watch, commits};

/// Every commit once, and none before its parents.
fn check_order(repository: &Repository, published: &[String]) {
    let position: BTreeMap<&str, usize> = published.iter().enumerate().map(|(at, sha)| (sha.as_str(), at)).collect();
    assert_eq!(position.len(), published.len(), "a commit was repeated");
    for line in repository.lines(&["rev-list", "--all", "--parents"]) {
        let mut shas = line.split(' ');
        let Some(child) = position.get(shas.next().unwrap()) else { continue };
        for parent in shas {
            assert!(position.get(parent).is_none_or(|parent| parent < child), "{parent} comes after its child");
        }
    }
}

/// What the tips reach and the hidden ones do not. From whole walks only: where commit times lie, git's own
/// `tip ^hidden` lists commits that `hidden` does reach.
fn rev_list(repository: &Repository, tips: &[String], hidden: &[String]) -> BTreeSet<String> {
    let all = |tips: &[String]| -> BTreeSet<String> {
        let args: Vec<String> = ["rev-list".to_owned()].into_iter().chain(tips.iter().cloned()).collect();
        if tips.is_empty() { BTreeSet::new() } else { repository.lines(&args).into_iter().collect() }
    };
    &all(tips) - &all(hidden)
}

#[test]
fn this_clone_is_published_as_rev_list_lists_it() {
    let clone = Repository { path: PathBuf::from(env!("CARGO_MANIFEST_DIR")) };
    if clone.git(&["rev-parse", "--is-shallow-repository"]) == "true" {
        // A build server's checkout: refused, as every shallow repository is.
        assert!(Watch::new(&clone, Start::History).try_poll(&clone).is_err());
        return;
    }
    let mut watch = Watch::new(&clone, Start::History);
    watch.poll(&clone);
    let all: Vec<String> = (watch.published.iter())
        .filter_map(|change| match change {
            Change::Commit { commit, .. } => Some(commit.sha.to_string()),
            _ => None,
        })
        .collect();
    let branches = clone.git(&["for-each-ref", "refs/heads"]);
    let tips = if branches.is_empty() { "HEAD" } else { "--branches" };
    assert_eq!(all.iter().cloned().collect::<BTreeSet<_>>(), rev_list(&clone, &[tips.to_owned()], &[]));
    check_order(&clone, &all);
}

#[test]
fn random_histories_with_lying_clocks_are_published_as_rev_list_lists_them() {
    for seed in 1..=6 {
        let dir = tempfile::tempdir().unwrap();
        let repository = random_history(dir.path(), seed, 300, 4);
        let mut watch = Watch::new(&repository, Start::History);
        watch.poll(&repository);
        let mut known: Vec<String> = Vec::new();
        for branch in ["b0", "b1", "b2", "b3"] {
            let published = commits(&watch.published, branch);
            let published_set: BTreeSet<String> = published.iter().cloned().collect();
            let expected = rev_list(&repository, &[branch.to_owned()], &known);
            assert_eq!(published_set, expected, "seed {seed}, branch {branch}");
            check_order(&repository, &published);
            known.push(branch.to_owned());
        }
    }
}

#[test]
fn moves_of_a_branch_publish_the_difference_to_all_its_tips() {
    for seed in 1..=4 {
        let dir = tempfile::tempdir().unwrap();
        let repository = random_history(dir.path(), seed, 250, 1);
        let all = repository.lines(&["for-each-ref", "refs/scratch", "--format=%(objectname)"]);
        let mut random = Random(seed);
        let mut watch = Watch::new(&repository, Start::History);
        let mut tips: Vec<String> = Vec::new();
        for _ in 0..12 {
            let tip = all[random.below(all.len() as u64) as usize].clone();
            let reached = rev_list(&repository, std::slice::from_ref(&tip), &[]);
            let forced = tips.last().is_some_and(|before| !reached.contains(before));
            repository.git(&["update-ref", "refs/heads/b0", &tip]);
            let changes = watch.poll(&repository);
            let expected = rev_list(&repository, std::slice::from_ref(&tip), &tips);
            let published = commits(&changes, "b0");
            check_order(&repository, &published);
            assert_eq!(published.into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
            if let Some(Change::Push { forced: marked, .. }) = changes.last() {
                assert_eq!(*marked, forced, "seed {seed}, to {tip}");
            }
            tips.push(tip);
        }
    }
}

#[test]
fn a_crash_at_every_transaction_repeats_and_skips_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let repository = random_history(dir.path(), 3, 200, 3);
    let mut whole = Watch::new(&repository, Start::History);
    whole.poll(&repository);
    for events in [1, 7, 64] {
        let mut crashing = Watch::new(&repository, Start::History);
        crashing.poll_with_crashes(&repository, Limits { events, ..Limits::default() });
        assert_eq!(crashing.published, whole.published, "{events} events a transaction");
        assert_eq!(crashing.offsets, whole.offsets);
    }
}

#[test]
fn branches_that_move_during_a_crashed_walk_do_not_change_it() {
    let dir = tempfile::tempdir().unwrap();
    let repository = random_history(dir.path(), 9, 200, 3);
    let tips: Vec<String> = ["b0", "b1", "b2"].iter().map(|b| repository.git(&["rev-parse", b])).collect();
    let mut watch = Watch::new(&repository, Start::History);
    let limits = Limits { events: 5, ..Limits::default() };
    for round in 0.. {
        // Each transaction is by a new process that finds the branches elsewhere.
        repository.git(&["update-ref", "refs/heads/b1", &tips[round % 2 + 1]]);
        let mut handle = super::open(&repository);
        let mut session = watch.session();
        session.refresh(&handle).unwrap();
        let before = watch.transactions;
        if let Some(batch) = session.next_batch(&mut handle, limits, 7).unwrap() {
            watch.commit(batch);
        }
        if watch.transactions == before || round > 400 {
            break;
        }
    }
    watch.poll(&repository);
    for branch in ["b0", "b1", "b2"] {
        check_order(&repository, &commits(&watch.published, branch));
    }
    let all: BTreeSet<String> =
        ["b0", "b1", "b2"].iter().flat_map(|branch| commits(&watch.published, branch)).collect();
    assert_eq!(all, rev_list(&repository, &tips, &[]));
}

#[test]
fn changed_files_are_those_of_diff_tree() {
    let dir = tempfile::tempdir().unwrap();
    for repository in [generate_documents(dir.path().join("a"), 60), random_history(dir.path().join("b"), 5, 120, 1)] {
        let mut handle = super::open(&repository);
        for sha in repository.lines(&["rev-list", "HEAD"]) {
            let args = [
                "diff-tree",
                "-r",
                "-M",
                "--root",
                "--name-status",
                "--diff-merges=first-parent",
                "--no-commit-id",
                &sha,
            ];
            let expected: BTreeSet<String> = repository.lines(&args).into_iter().collect();
            let changed = handle.changed_files(sha.parse().unwrap()).unwrap();
            let found: BTreeSet<String> = changed.iter().map(super::reading::name_status).collect();
            assert_eq!(found, expected, "{sha}");
        }
    }
}
