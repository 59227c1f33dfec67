//! `AggregateTask`: counts of each day, kept when what was counted is cleaned up (`database.inbox_retention`).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dispatch::job::{self, Job};
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once};
use crate::event::Event;
use crate::registry::entry_name;
use crate::store::{EntryChange, Period};

/// The registry of counts: an entry for each group and day.
const REGISTRY: &str = "daily-counts";
/// About as long as handled events are known.
const DAYS_MAX: i32 = 31;
/// Handlers, and pairs of workflow and status, of one day.
const COUNTS_MAX: u32 = 1_000;
const ALLOWED: &str = "days: how many days back are counted that were not yet, 1 to 31 (default 7)";

inventory::submit! {
    Registration {
        name: "aggregate",
        summary: "keeps counts of each day's handled events and workflows",
        build: |_| Ok(Arc::new(AggregateHandler)),
    }
}

struct AggregateHandler;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    days: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { days: 7 }
    }
}

#[async_trait]
impl Handler for AggregateHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let job: Job<Settings> = Job::of(event, context, ALLOWED).await?;
        let days = job.settings.days;
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(job::refused(&job.schedule, &format!("days {days}"), ALLOWED));
        }
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let today = job.due.to_zoned(TimeZone::UTC).date();
        let mut changes = Vec::new();
        for back in (1..=days).rev() {
            let day = today.checked_sub(back.days()).map_err(|error| Failure::permanent("no_such_day", error))?;
            changes.extend(counted(event, context, day).await?);
        }
        let message = format!("{} days are counted", changes.len());
        once::commit(event, context, changes, Success { message, ..Success::default() }).await
    }
}

/// The entry of a day in UTC, unless it is there already or the day has nothing to count.
async fn counted(event: &Event, context: &Context<'_>, day: Date) -> Result<Option<EntryChange>, Failure> {
    let (store, group) = (&context.services.store, &context.fence.group);
    let entry = entry_name(group, &[day.to_string().as_bytes()]);
    if store.entry(REGISTRY, &entry).await?.is_some() {
        return Ok(None);
    }
    let period = Period { since_ms: midnight(day)?, until_ms: midnight(day.saturating_add(1.day()))? };
    let handled: BTreeMap<String, i64> = store.handled(group, period, COUNTS_MAX).await?.into_iter().collect();
    let mut workflows: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for found in store.runs_by_status(group, period, COUNTS_MAX).await? {
        workflows.entry(found.workflow).or_default().insert(found.status, found.runs);
    }
    if handled.is_empty() && workflows.is_empty() {
        return Ok(None);
    }
    let data: Value = json!({"group": group, "day": day, "handled": handled, "workflows": workflows});
    let change = EntryChange::new(REGISTRY, entry, Some(data), once::utids(event));
    // Two that count at once: one is made again, and finds it counted.
    Ok(Some(EntryChange { expected_version: Some(0), ..change }))
}

fn midnight(day: Date) -> Result<i64, Failure> {
    let midnight = day.to_zoned(TimeZone::UTC).map(|at| Timestamp::from(at).as_millisecond());
    midnight.map_err(|error| Failure::permanent("no_such_day", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;
    use crate::handlers::git_commit::tests::world::World;

    async fn aggregate(world: &mut World, due: Timestamp, data: &Value) -> Result<Success, Failure> {
        world.offset += 1;
        let due = due.as_millisecond();
        let fired = json!({
            "schedule": "counts", "dueAt": due, "firedAt": due, "reason": "fired", "data": data.to_string(),
        });
        world.handle_by(&AggregateHandler, "AggregateTask", &fired).await
    }

    #[tokio::test]
    async fn a_day_is_counted_once_when_it_is_over() {
        let mut world = World::new().await;
        let none = aggregate(&mut world, Timestamp::UNIX_EPOCH + 40.hours(), &json!({})).await.unwrap();
        assert_eq!(none.message, "0 days are counted");
        // That event is what is counted.
        let handled = world.store.handled("group", Period { since_ms: 0, until_ms: i64::MAX }, 10).await.unwrap();
        assert_eq!(handled, [("tested".to_owned(), 1)]);
        let tomorrow = Timestamp::now() + 24.hours();
        let counted = aggregate(&mut world, tomorrow, &json!({"days": 2})).await.unwrap();
        assert_eq!(counted.message, "1 days are counted");
        let entries = world.store.entries(REGISTRY, None, 10).await.unwrap();
        assert_eq!((entries.len(), &entries[0].data["handled"]), (1, &json!({"tested": 1})));
        let again = aggregate(&mut world, tomorrow + 1.second(), &json!({"days": 2})).await.unwrap();
        assert_eq!(again.message, "0 days are counted");
        assert_eq!(world.store.entries(REGISTRY, None, 10).await.unwrap(), entries);
    }

    #[tokio::test]
    async fn settings_that_are_not_allowed_say_what_is() {
        let mut world = World::new().await;
        for data in [json!({"days": 0}), json!({"days": 32}), json!({"day": 1}), json!([])] {
            let failure = aggregate(&mut world, Timestamp::UNIX_EPOCH, &data).await.unwrap_err();
            assert_eq!((failure.class.clone(), failure.code), (Class::Permanent, "invalid_job"), "{data}");
            assert!(failure.message.contains(ALLOWED), "{}", failure.message);
        }
    }
}
