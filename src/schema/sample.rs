//! One value of each payload with every optional part present, for tests.

use super::payloads::*;

pub(crate) fn api_reply() -> ApiReply {
    ApiReply {
        request_id: "r-1".into(),
        request_source: "/coafi/api/registry/update".into(),
        outcome: "processed".into(),
        status: 200,
        body: r#"{"success":true}"#.into(),
        replied_at: 1_763_740_800_000,
    }
}

pub(crate) fn api_request() -> ApiRequest {
    ApiRequest {
        endpoint: "registry/update".into(),
        method: "POST".into(),
        request_id: "r-1".into(),
        body: r#"{"registryId":"parts"}"#.into(),
        principal: "key:ci".into(),
        received_at: 1_763_740_800_000,
    }
}

pub(crate) fn bitt_record() -> BittRecord {
    let text = |text: &str| Some(text.to_owned());
    BittRecord {
        watch: "compliance".into(),
        record_type: "EVENT_PROCESSING_FAILED".into(),
        log_topic: "coafi.bitt.records".into(),
        log_partition: 3,
        log_offset: 17,
        event_id: text("main@1"),
        event_type: text("git.commit"),
        event_source: text("https://example.org/repo.git"),
        topic: "coafi.git".into(),
        outcome: text("dead_lettered"),
        attempt: Some(3),
        handlers: vec!["git_commit".into()],
        route: text("git-commits"),
        error_class: text("permanent"),
        error_code: text("no_such_commit"),
        error: text("it is gone"),
        steps: vec!["FILE_PROCESSED".into()],
        result: text("{}"),
        by: text("ada"),
        reason: text("it is known"),
        utids: vec!["GAIA:COMPLIANCE:7".into()],
        correlation_id: text("main@1"),
        recorded_at: 1_763_740_800_000,
    }
}

pub(crate) fn federated_message() -> FederatedMessage {
    FederatedMessage {
        message_id: "m-1".into(),
        source_domain: "aero".into(),
        target_domain: Some("gaia".into()),
        message_type: "SystemUpdateNotification".into(),
        source: Some("/aero/telemetry".into()),
        subject: Some("telemetry".into()),
        sent_at: 1_763_740_800_000,
        payload: r#"{"system":"telemetry","version":"2.1.0"}"#.into(),
        authentication: FederatedAuthentication { method: FederatedMethod::Signature, key_id: Some("aero-1".into()) },
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn federated_refused() -> FederatedRefused {
    FederatedRefused {
        domain: "aero".into(),
        topic: "aero.events".into(),
        partition: 1,
        offset: 7,
        reason: "bad_signature".into(),
        detail: "the signature is not of key aero-1".into(),
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
        bytes: 512,
        received_at: 1_763_740_800_000,
    }
}

pub(crate) fn drill_step() -> DrillStep {
    DrillStep { key: "k-1".into(), sequence: 7, action: DrillAction::Transient, times: 2, emit: true, write: true }
}

pub(crate) fn git_commit() -> GitCommit {
    GitCommit {
        commit_sha: "9fceb02d0ae598e95dc970b74767f19372d61af8".into(),
        repository_url: "https://example.org/repo.git".into(),
        branch: "main".into(),
        author: Person { name: "Ada".into(), email: "ada@example.org".into() },
        committer: Person { name: "Grace".into(), email: "grace@example.org".into() },
        message: "Füge ein Kapitel hinzu\n".into(),
        parents: vec!["1111111111111111111111111111111111111111".into()],
        committed_at: 1_763_740_800_000,
        changed_files: vec![ChangedFile {
            path: "docs/\u{fffd}.md".into(),
            path_bytes: Some((&b"docs/\xff.md"[..]).into()),
            status: FileStatus::Renamed,
            old_path: Some("docs/\u{fffd}.txt".into()),
            old_path_bytes: Some((&b"docs/\xfe.txt"[..]).into()),
            kind: FileKind::Executable,
        }],
        changed_files_truncated: true,
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn git_tag() -> GitTag {
    GitTag {
        repository_url: "https://example.org/repo.git".into(),
        tag: "v1".into(),
        action: TagAction::Moved,
        commit_sha: Some("2222222222222222222222222222222222222222".into()),
        previous_sha: Some("1111111111111111111111111111111111111111".into()),
        tag_object_sha: Some("3333333333333333333333333333333333333333".into()),
        tagger: Some(Person { name: "Ada".into(), email: "ada@example.org".into() }),
        message: Some("first".into()),
        tagged_at: Some(1_763_740_800_000),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn git_push() -> GitPush {
    GitPush {
        repository_url: "https://example.org/repo.git".into(),
        branch: "main".into(),
        before: Some("1111111111111111111111111111111111111111".into()),
        after: Some("2222222222222222222222222222222222222222".into()),
        forced: true,
        commit_count: 3,
        observed_at: 1_763_740_800_000,
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn receipt() -> Receipt<'static> {
    Receipt {
        cluster_id: "cluster".into(),
        topic_id: "topic-id".into(),
        topic: "coafi.git".into(),
        partition: 3,
        from_offset: 40,
        to_offset: 44,
        event_ids: vec!["a".into(), "b".into()],
        part: 1,
        parts: 1,
        group: "coafi".into(),
        worker_id: "worker-1".into(),
        epoch: 7,
        received_at: 1_763_740_800_000,
    }
}

pub(crate) fn outcome() -> Outcome<'static> {
    Outcome {
        cluster_id: "cluster".into(),
        topic_id: "topic-id".into(),
        topic: "coafi.git".into(),
        partition: 3,
        offset: 42,
        run: "run-2".into(),
        attempt: 2,
        group: "coafi".into(),
        event_id: Some("a".into()),
        event_type: Some("git.commit".into()),
        source: Some("/git/repo".into()),
        utids: vec!["UT-1".into()],
        correlation_id: Some("c".into()),
        causation_id: Some("d".into()),
        route: Some("git-commits".into()),
        route_version: Some("1".into()),
        handlers: vec!["git_commit".into()],
        outcome: OutcomeKind::RetriedTopic,
        error_class: Some("transient".into()),
        error_code: Some("timeout".into()),
        error: Some("it took too long".into()),
        steps: vec![OutcomeStep {
            kind: "HANDLER_INVOKED".into(),
            at: Some(1_763_740_800_000),
            detail: "{\"handler\":\"git_commit\"}".into(),
        }],
        result: Some("{}".into()),
        due_at: Some(1_763_740_805_000),
        first_seen_offset: Some(1),
        lost_to_offset: Some(2),
        worker_id: "worker-1".into(),
        epoch: 7,
        started_at: Some(1_763_740_800_000),
        ended_at: 1_763_740_800_100,
        redrive: 1,
        origin: Some(place("coafi.git", 3, 40)),
    }
}

fn place(topic: &'static str, partition: i32, offset: i64) -> Place<'static> {
    Place { topic: topic.into(), partition, offset }
}

pub(crate) fn intervention() -> Intervention<'static> {
    Intervention {
        cluster_id: "cluster".into(),
        action: InterventionKind::EventRedriven,
        topic: "coafi.git.dlq".into(),
        partition: 1,
        offset: 5,
        by: "ada@desk".into(),
        reason: Some("the repository is back".into()),
        redrive: 1,
        origin: Some(place("coafi.git", 3, 40)),
        sent_to: Some(place("coafi.git", 3, 42)),
        event_id: Some("a".into()),
        event_type: Some("git.commit".into()),
        source: Some("/git/repo".into()),
        correlation_id: Some("c".into()),
        error_class: Some("permanent".into()),
        at: 1_763_740_800_000,
    }
}

pub(crate) fn letter_state() -> LetterState {
    LetterState {
        topic: "coafi.git.dlq".into(),
        partition: 1,
        offset: 5,
        status: LetterStatus::Redriven,
        by: "ada@desk".into(),
        reason: Some("the repository is back".into()),
        since: 1_763_740_800_000,
        redrive: 1,
        sent_to: Some(place("coafi.git", 3, 42)),
        audit: Some(place("coafi.bitt.records", 7, 1_000)),
        event_id: Some("a".into()),
        outcome: Some("dead_lettered".into()),
        error_class: Some("permanent".into()),
        error: Some("it is to fail for good".into()),
        ended_at: Some(1_763_740_800_100),
    }
}

pub(crate) fn claim() -> Claim {
    Claim { topic: "coafi.git.dlq".into(), by: "ada@desk".into(), nonce: "n".into(), at: 1_763_740_800_000 }
}

pub(crate) fn replica_status() -> ReplicaStatus {
    let reason = ReplicaReason {
        kind: "parked".into(),
        offset: Some(42),
        records: 3,
        route: Some("git-commits".into()),
        limit: Some("10 a second".into()),
        dependency: Some("database".into()),
        tenant: Some("acme".into()),
        attempts: 2,
        since: Some(1_763_740_800_000),
        until: Some(1_763_740_805_000),
        error_class: Some("transient".into()),
        error_code: Some("timeout".into()),
        error: Some("it took too long".into()),
    };
    let partition = ReplicaPartition {
        topic: "coafi.git".into(),
        partition: 3,
        committed: Some(42),
        polled: Some(50),
        waiting: 6,
        in_flight: 1,
        parked: 1,
        oldest_at: Some(1_763_740_799_000),
        head: Some(42),
        head_since: Some(1_763_740_800_000),
        reasons: vec![reason],
    };
    ReplicaStatus {
        group: "coafi".into(),
        slot: "a".into(),
        host: "node-1".into(),
        pid: 7,
        version: "0.1.0".into(),
        started_at: 1_763_740_700_000,
        reported_at: 1_763_740_803_000,
        turned_at: 1_763_740_802_990,
        looked_at: 1_763_740_802_500,
        state: "working".into(),
        trouble: Some("no broker answers".into()),
        outages: vec![ReplicaOutage { dependency: "database".into(), error: Some("connection refused".into()) }],
        partitions: vec![partition],
        partitions_omitted: 1,
    }
}

pub(crate) fn schedule_fired() -> ScheduleFired {
    ScheduleFired {
        schedule: "daily-report".into(),
        due_at: 1_763_740_800_000,
        fired_at: 1_763_740_800_012,
        reason: FireReason::CaughtUp,
        data: r#"{"format":"html"}"#.into(),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn schedule_decision() -> ScheduleDecision {
    ScheduleDecision {
        schedule: "daily-report".into(),
        decision: DecisionKind::Skipped,
        reason: "superseded".into(),
        due_from: Some(1_763_740_800_000),
        due_to: Some(1_763_827_200_000),
        count: 2,
        event_id: Some("2025-11-21T16:00:00Z".into()),
        by: "host 7".into(),
        at: 1_763_827_200_012,
    }
}

pub(crate) fn source_offset() -> SourceOffset {
    SourceOffset {
        connector: "git".into(),
        source: "https://example.org/repo.git".into(),
        part: "refs/heads/main".into(),
        offset: "{\"tip\":\"9fceb02\"}".into(),
        updated_at: 1_763_740_800_000,
    }
}

pub(crate) fn workflow_requested() -> WorkflowRequested {
    WorkflowRequested {
        workflow: "GitCommitProcessingWorkflow".into(),
        workflow_id: "wf-1".into(),
        input: r#"{"commitSha":"9fceb02d"}"#.into(),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn workflow_step() -> WorkflowStep {
    WorkflowStep {
        workflow: "RegistryUpdateNotificationWorkflow".into(),
        workflow_id: "wf-1".into(),
        step: "each[2]/check".into(),
        attempt: 2,
    }
}

pub(crate) fn workflow_completed() -> WorkflowCompleted {
    WorkflowCompleted {
        workflow: "RegistryUpdateNotificationWorkflow".into(),
        version: 1,
        workflow_id: "wf-1".into(),
        output: r#"{"ok":true}"#.into(),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn workflow_failed() -> WorkflowFailed {
    WorkflowFailed {
        workflow: "RegistryUpdateNotificationWorkflow".into(),
        version: 1,
        workflow_id: "wf-1".into(),
        status: "failed".into(),
        step: "check".into(),
        code: "invalid".into(),
        message: "/n: 7 is not a string".into(),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn workflow_arrived() -> WorkflowArrived {
    WorkflowArrived {
        workflow: "PartReview".into(),
        workflow_id: "wf-1".into(),
        group: "coafi".into(),
        step: "answer".into(),
        attempt: 1,
        output: r#"{"id":"1"}"#.into(),
        code: String::new(),
        message: String::new(),
    }
}

pub(crate) fn workflow_called() -> WorkflowCalled {
    WorkflowCalled {
        workflow: "ReportWorkflow".into(),
        workflow_id: "wf-2".into(),
        group: "coafi".into(),
        input: r#"{"name":"weekly"}"#.into(),
        caller_workflow: "PartReview".into(),
        caller_id: "wf-1".into(),
        caller_step: "report".into(),
        caller_attempt: 1,
        utids: vec!["utid-1".into()],
    }
}

pub(crate) fn workflow_command() -> WorkflowCommand {
    WorkflowCommand {
        workflow_id: "wf-1".into(),
        action: "approve".into(),
        step: "check".into(),
        by: "ada@host".into(),
        reason: "a wrong input".into(),
    }
}

pub(crate) fn notification_requested() -> NotificationRequested {
    NotificationRequested {
        title: "Wing 7 is late".into(),
        text: "By two days.".into(),
        template: "late".into(),
        data: r#"{"part":"wing-7"}"#.into(),
        severity: "warning".into(),
        source: "/planning".into(),
        dedup_key: "late/wing-7".into(),
        group_key: "late".into(),
        channels: vec!["ops-chat".into()],
        resolved: true,
        url: "https://planning.example/wing-7".into(),
        utids: vec!["UT-1".into()],
    }
}

pub(crate) fn notification_delivery() -> NotificationDelivery {
    let requested = notification_requested();
    NotificationDelivery {
        channel: "ops-chat".into(),
        group_key: "late".into(),
        notifications: vec![DeliveredNotification {
            id: "n-1".into(),
            title: requested.title,
            text: requested.text,
            severity: requested.severity,
            source: requested.source,
            dedup_key: requested.dedup_key,
            resolved: true,
            url: requested.url,
            data: requested.data,
            requested_at: 1_763_740_800_000,
        }],
        utids: vec!["UT-1".into()],
    }
}
