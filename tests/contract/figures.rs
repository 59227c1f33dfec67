//! Figures for reports are counted alike in both databases.

use coafi::store::{Period, RunsOfStatus};

use crate::store::databases::{execute, on_every_address};
use crate::workflows::{GROUP, change, fence, work};

const EVER: Period = Period { since_ms: 0, until_ms: 4_000_000_000_000 };

#[tokio::test]
async fn what_was_handled_in_a_time_is_counted_by_handler_and_by_status() {
    on_every_address(|url| async move {
        let store = coafi::store::open(&url, &coafi::store::Settings::default()).await.unwrap();
        let fence = fence(&*store).await;
        for (event, id, status) in [("1", "a", "failed"), ("2", "b", "failed"), ("3", "c", "completed")] {
            store.commit(work(&fence, event, change(id, 0, status))).await.unwrap();
        }
        let mut other = work(&fence, "4", change("d", 0, "running"));
        (other.inbox.handler, other.run) = ("archive".into(), None);
        store.commit(other).await.unwrap();

        let handled = async |period, limit| store.handled(GROUP, period, limit).await.unwrap();
        assert_eq!(handled(EVER, 9).await, [("archive".into(), 1), ("workflow".into(), 3)]);
        assert_eq!(handled(EVER, 1).await, [("archive".into(), 1)]);
        assert_eq!(store.handled("other", EVER, 9).await, Ok(Vec::new()), "another group's are its own");
        let of = |status: &str, runs| RunsOfStatus { workflow: "W".into(), status: status.into(), runs };
        let runs = async |period, limit| store.runs_by_status(GROUP, period, limit).await.unwrap();
        assert_eq!(runs(EVER, 9).await, [of("completed", 1), of("failed", 2)]);
        assert_eq!(runs(EVER, 1).await, [of("completed", 1)]);

        let then = if url.starts_with("sqlite:") { "1000" } else { "to_timestamp(1000)" };
        execute(&url, format!("UPDATE inbox SET created_at = {then} WHERE event_id = '1'").leak()).await;
        execute(&url, "UPDATE workflow_run SET updated_at = 1000000 WHERE workflow_id = 'a'").await;
        for (since_ms, until_ms, found) in
            [(1_000_000, 1_001_000, true), (999_000, 1_000_000, false), (1_001_000, 2_000_000, false)]
        {
            let period = Period { since_ms, until_ms };
            assert_eq!(handled(period, 9).await.len(), usize::from(found), "{period:?}");
            assert_eq!(runs(period, 9).await.len(), usize::from(found), "{period:?}");
        }
    })
    .await;
}
