//! Event data as other software reads it: Confluent wire format. `wire_format.txt` is hexadecimal, one record per line, and
//! was written by another implementation (Python's fastavro, from the same `.avsc` files and values).

use coafi::schema::payloads::{
    ChangedFile, FileKind, FileStatus, GitCommit, Outcome, OutcomeKind, OutcomeStep, Person,
};
use coafi::schema::registry::{Client, Settings};
use coafi::schema::{BuiltinRegistry, Codec, Payload};
use expect_test::expect_file;

const TOPIC: &str = "coafi.golden";

fn commit() -> GitCommit {
    GitCommit {
        commit_sha: "9fceb02d0ae598e95dc970b74767f19372d61af8".into(),
        repository_url: "https://example.org/repo.git".into(),
        branch: "main".into(),
        author: Person { name: "Ada".into(), email: "ada@example.org".into() },
        committer: Person { name: "Grace".into(), email: "grace@example.org".into() },
        message: "Füge ein Kapitel hinzu\n".into(),
        parents: vec!["1111111111111111111111111111111111111111".into()],
        committed_at: 1_763_740_800_000,
        changed_files: vec![
            ChangedFile {
                path: "docs/\u{fffd}.md".into(),
                path_bytes: Some((&b"docs/\xff.md"[..]).into()),
                status: FileStatus::Renamed,
                old_path: Some("docs/old.md".into()),
                old_path_bytes: None,
                kind: FileKind::File,
            },
            ChangedFile {
                path: "bin/run".into(),
                path_bytes: None,
                status: FileStatus::Added,
                old_path: None,
                old_path_bytes: None,
                kind: FileKind::Executable,
            },
        ],
        changed_files_truncated: false,
        utids: vec!["UT-1".into()],
    }
}

fn outcome() -> Outcome<'static> {
    Outcome {
        cluster_id: "cluster".into(),
        topic_id: "topic-id".into(),
        topic: "coafi.git".into(),
        partition: 3,
        offset: 42,
        run: "".into(),
        attempt: 1,
        group: "coafi".into(),
        event_id: Some("main@9fceb02".into()),
        event_type: Some("git.commit".into()),
        source: Some("/git/repo".into()),
        utids: vec![],
        correlation_id: None,
        causation_id: None,
        route: Some("git-commits".into()),
        route_version: Some("1".into()),
        handlers: vec!["git_commit".into()],
        outcome: OutcomeKind::Processed,
        error_class: None,
        error_code: None,
        error: None,
        steps: vec![OutcomeStep { kind: "HANDLER_INVOKED".into(), at: Some(1_763_740_800_000), detail: "{}".into() }],
        result: Some("{}".into()),
        due_at: None,
        first_seen_offset: None,
        lost_to_offset: None,
        worker_id: "worker-1".into(),
        epoch: 7,
        started_at: Some(1_763_740_800_000),
        ended_at: 1_763_740_800_100,
        redrive: 0,
        origin: None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn bytes_never_change() {
    let registry = BuiltinRegistry::start(&[]).await.unwrap();
    let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), true);
    let lines = [
        (GitCommit::RECORD_NAME, codec.encode(TOPIC, &commit()).await.unwrap()),
        (Outcome::RECORD_NAME, codec.encode(TOPIC, &outcome()).await.unwrap()),
    ];
    let text: String = lines.iter().map(|(name, data)| format!("{name} {}\n", hex(data))).collect();
    expect_file!["wire_format.txt"].assert_eq(&text);
}
