//! Runs of workflows, over SQLite and Postgres.

use std::time::Duration;

use bytes::Bytes;
use coafi::store::{
    CancelAsked, Committed, Fence, InboxKey, NewTimer, NewWait, RunChange, RunFilter, RunRecord, StepRecord, Store,
    StoreError, UnitOfWork,
};

use crate::store::databases::on_every_store;

pub(crate) const GROUP: &str = "group";

pub(crate) async fn fence(store: &dyn Store) -> Fence {
    store.claim(GROUP, &[("coafi.workflow".into(), 0, 0)]).await.unwrap().remove(0)
}

pub(crate) fn change(id: &str, expected_seq: i64, status: &str) -> RunChange {
    let run = RunRecord {
        workflow_id: id.into(),
        workflow: "W".into(),
        version: 1,
        digest: "d".into(),
        definition: "text".into(),
        status: status.into(),
        state: format!("{{\"is\":\"{status}\"}}"),
        correlation_id: "c".into(),
        tenant_id: None,
        utids: Some("u".into()),
    };
    RunChange { run, expected_seq, steps: Vec::new(), timers: Vec::new(), waits: None, cancels: Vec::new() }
}

fn inbox(event: &str) -> InboxKey {
    let (group, handler, source) = (GROUP.into(), "workflow".into(), "/s".into());
    InboxKey { group, handler, source, id: event.into(), run: String::new() }
}

pub(crate) fn work(fence: &Fence, event: &str, change: RunChange) -> UnitOfWork {
    let (fence, result) = (fence.clone(), Bytes::from_static(b"{}"));
    UnitOfWork { inbox: inbox(event), fence, changes: Vec::new(), run: Some(change), notices: Vec::new(), result }
}

fn step(attempt: u32, status: &str) -> StepRecord {
    let ended = status != "running";
    let fault = (status == "failed").then(|| "{}".to_owned());
    StepRecord { step: "a".into(), attempt, kind: "transform".into(), status: status.into(), ended, fault }
}

#[tokio::test]
async fn of_two_that_change_a_run_one_is_refused_with_all_that_it_wanted() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let started = store.commit(work(&fence, "1", change("wf", 0, "running"))).await;
        assert_eq!(started, Ok(Committed::Written(Vec::new())));
        let again = store.commit(work(&fence, "2", change("wf", 0, "running"))).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        assert_eq!(store.inbox(&inbox("2")).await, Ok(None), "nothing is left of it");
        store.commit(work(&fence, "3", change("wf", 1, "completed"))).await.unwrap();
        let late = store.commit(work(&fence, "4", change("wf", 1, "failed"))).await;
        assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
        let stored = store.workflow_run(GROUP, "wf").await.unwrap().unwrap();
        assert_eq!((stored.seq, stored.run.status.as_str()), (2, "completed"));
        assert_eq!((stored.run.state.as_str(), stored.run.utids.as_deref()), ("{\"is\":\"completed\"}", Some("u")));
        assert_eq!(store.workflow_run("other", "wf").await, Ok(None), "runs are a group's own");
    })
    .await;
}

#[tokio::test]
async fn runs_are_found_and_their_attempts_listed() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let first = RunChange { steps: vec![step(1, "running")], ..change("wf-1", 0, "running") };
        store.commit(work(&fence, "1", first)).await.unwrap();
        let retried = RunChange { steps: vec![step(1, "failed"), step(2, "running")], ..change("wf-1", 1, "running") };
        store.commit(work(&fence, "2", retried)).await.unwrap();
        store.commit(work(&fence, "3", change("wf-2", 0, "failed"))).await.unwrap();
        let steps = store.workflow_steps(GROUP, "wf-1").await.unwrap();
        let shown: Vec<_> = steps.iter().map(|s| (s.attempt, s.status.as_str(), s.ended_ms.is_some())).collect();
        assert_eq!(shown, [(1, "failed", true), (2, "running", false)]);
        assert_eq!(steps[0].fault.as_deref(), Some("{}"));
        let found = async |workflow: Option<&str>, status: Option<&str>| {
            let filter = RunFilter { workflow: workflow.map(str::to_owned), status: status.map(str::to_owned) };
            let mut found: Vec<String> =
                store.workflow_runs(GROUP, &filter, 10).await.unwrap().into_iter().map(|r| r.run.workflow_id).collect();
            found.sort();
            found
        };
        assert_eq!(found(None, None).await, ["wf-1", "wf-2"]);
        assert_eq!(found(Some("W"), Some("failed")).await, ["wf-2"]);
        assert!(found(Some("V"), None).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_timer_is_leased_to_one_and_gone_when_it_is_deleted() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let timer = |id: &str, delay| NewTimer { event_id: id.into(), step: "a".into(), attempt: 2, delay };
        let timers = vec![timer("now", Duration::ZERO), timer("later", Duration::from_secs(3_600))];
        store.commit(work(&fence, "1", RunChange { timers, ..change("wf", 0, "running") })).await.unwrap();
        let lease = async |lease| store.lease_timers(GROUP, 10, lease).await.unwrap();
        let leased = lease(Duration::ZERO).await;
        assert_eq!(leased.len(), 1);
        assert_eq!((leased[0].event_id.as_str(), leased[0].workflow_id.as_str(), leased[0].attempt), ("now", "wf", 2));
        // Whoever had it did not say that it is done.
        assert_eq!(lease(Duration::from_secs(60)).await, leased);
        assert!(lease(Duration::from_secs(60)).await.is_empty(), "it is another's");
        store.delete_timers(GROUP, &["now".to_owned()]).await.unwrap();
        assert!(lease(Duration::ZERO).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_an_event_is_found_until_the_run_says_otherwise() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let wait = |step: &str, correlate: &str, value: &str| NewWait {
            step: step.into(),
            attempt: 2,
            event_type: "a.b".into(),
            correlate: correlate.into(),
            value: value.into(),
        };
        let waits = Some(vec![wait("a", "data.x", "1"), wait("b", "data.x", "2"), wait("c", "data.y", "1")]);
        store.commit(work(&fence, "1", RunChange { waits, ..change("wf", 0, "running") })).await.unwrap();
        let by = async |event_type| store.awaited_correlations(GROUP, event_type, 10).await.unwrap();
        let waiting = async |value| {
            let found = store.waiting_steps(GROUP, "a.b", "data.x", value, 10).await.unwrap();
            found.into_iter().map(|w| (w.workflow, w.workflow_id, w.step, w.attempt)).collect::<Vec<_>>()
        };
        assert_eq!((by("a.b").await, by("c.d").await), (vec!["data.x".to_owned(), "data.y".to_owned()], Vec::new()));
        assert_eq!(waiting("1").await, [("W".to_owned(), "wf".to_owned(), "a".to_owned(), 2)]);
        store.commit(work(&fence, "2", change("wf", 1, "running"))).await.unwrap();
        assert_eq!(waiting("2").await.len(), 1, "nothing was said of them");
        let rest = Some(vec![wait("b", "data.x", "2")]);
        store.commit(work(&fence, "3", RunChange { waits: rest, ..change("wf", 2, "running") })).await.unwrap();
        assert_eq!((waiting("1").await.len(), waiting("2").await.len(), by("a.b").await.len()), (0, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn that_a_run_is_to_end_is_known_until_its_status_is_another() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let asked = |by: &str| CancelAsked { by: by.into(), reason: "r".into() };
        let known = async |id: &str| store.cancel_asked(GROUP, id).await.unwrap().map(|asked| asked.by);
        store.ask_to_cancel(GROUP, "none", &asked("ada")).await.unwrap();
        assert_eq!(known("none").await, None, "there is no such run");
        store.commit(work(&fence, "1", change("wf", 0, "running"))).await.unwrap();
        store.ask_to_cancel("other", "wf", &asked("ada")).await.unwrap();
        assert_eq!(known("wf").await, None, "runs are a group's own");
        for by in ["ada", "grace"] {
            store.ask_to_cancel(GROUP, "wf", &asked(by)).await.unwrap();
            assert_eq!(known("wf").await.as_deref(), Some(by), "the last of them");
        }
        store.commit(work(&fence, "2", change("wf", 1, "running"))).await.unwrap();
        assert_eq!(known("wf").await.as_deref(), Some("grace"), "another of its steps has ended");
        store.commit(work(&fence, "3", change("wf", 2, "compensating"))).await.unwrap();
        assert_eq!(known("wf").await, None);

        let cancels = ["wf", "none"].map(|id| (id.to_owned(), asked("parent"))).into();
        store.commit(work(&fence, "4", RunChange { cancels, ..change("parent", 0, "cancelled") })).await.unwrap();
        assert_eq!((known("wf").await.as_deref(), known("none").await), (Some("parent"), None));
        store.commit(work(&fence, "5", change("wf", 3, "compensating"))).await.unwrap();
        assert_eq!(known("wf").await.as_deref(), Some("parent"), "another of its steps is undone");
        store.commit(work(&fence, "6", change("wf", 4, "cancelled"))).await.unwrap();
        store.ask_to_cancel(GROUP, "wf", &asked("ada")).await.unwrap();
        assert_eq!(known("wf").await, None, "it has ended");
    })
    .await;
}

#[tokio::test]
async fn only_runs_that_have_ended_are_purged() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let ended = RunChange { steps: vec![step(1, "succeeded")], ..change("ended", 0, "completed") };
        store.commit(work(&fence, "1", ended)).await.unwrap();
        store.commit(work(&fence, "2", change("running", 0, "running"))).await.unwrap();
        assert_eq!(store.purge_workflow_runs(Duration::from_secs(60), 10).await, Ok(0));
        let mut purged = 0;
        // By the database's clock, in milliseconds: its next one.
        for _ in 0..10_000 {
            purged += store.purge_workflow_runs(Duration::ZERO, 10).await.unwrap();
            if purged > 0 {
                break;
            }
        }
        assert_eq!(purged, 1);
        assert_eq!(store.workflow_run(GROUP, "ended").await, Ok(None));
        assert!(store.workflow_steps(GROUP, "ended").await.unwrap().is_empty());
        assert!(store.workflow_run(GROUP, "running").await.unwrap().is_some());
    })
    .await;
}
