//! A handler's effect, exactly once: its changes and its complete result in one SQL transaction (I9), under the epoch that
//! its event was dispatched in (I4).

use super::{Context, Failure, Place, Success, hop};
use crate::event::Event;
use crate::store::{Committed, EntryChange, InboxKey, NewNotice, Position, RunChange, UnitOfWork};

/// The result of an earlier run, if this event was handled before. Ask before doing the work; [`commit`] asks again.
///
/// # Errors
/// As the store; permanent if the stored result cannot be read.
pub async fn earlier(event: &Event, context: &Context<'_>) -> Result<Option<Success>, Failure> {
    let stored = context.services.store.inbox(&inbox_key(event, context)).await?;
    stored.as_deref().map(stored_success).transpose()
}

/// Writes `changes` with `success` as the result, and gives that back, but for changes of entries that a newer event of the
/// same partition has changed: this one was retried, and is late. Or, if another run was first, writes nothing and
/// gives back that run's result.
///
/// # Errors
/// As the store.
pub async fn commit(
    event: &Event,
    context: &Context<'_>,
    changes: Vec<EntryChange>,
    success: Success,
) -> Result<Success, Failure> {
    write(event, context, changes, None, Vec::new(), success).await
}

/// As [`commit`], with a workflow's run that is taken on in the same transaction.
///
/// # Errors
/// As the store.
pub async fn commit_run(
    event: &Event,
    context: &Context<'_>,
    changes: Vec<EntryChange>,
    run: RunChange,
    success: Success,
) -> Result<Success, Failure> {
    write(event, context, changes, Some(run), Vec::new(), success).await
}

/// As [`commit`], with what channels are told instead of changes of entries.
///
/// # Errors
/// As the store; transient if a channel was told the same meanwhile.
pub async fn commit_notices(
    event: &Event,
    context: &Context<'_>,
    notices: Vec<NewNotice>,
    success: Success,
) -> Result<Success, Failure> {
    write(event, context, Vec::new(), None, notices, success).await
}

async fn write(
    event: &Event,
    context: &Context<'_>,
    mut changes: Vec<EntryChange>,
    run: Option<RunChange>,
    notices: Vec<NewNotice>,
    success: Success,
) -> Result<Success, Failure> {
    let result = serde_json::to_vec(&success).map_err(|e| Failure::permanent("result_not_json", e))?;
    changes.iter_mut().for_each(|change| change.position = Some(position(context)));
    let inbox = inbox_key(event, context);
    let work = UnitOfWork { inbox, fence: context.fence.clone(), changes, run, notices, result: result.into() };
    match context.services.store.commit(work).await? {
        Committed::Written(_) => Ok(success),
        Committed::Already(stored) => stored_success(&stored),
    }
}

fn position(context: &Context<'_>) -> Position {
    let Place { topic, partition, offset } = context.place;
    Position { run: context.run.to_owned(), topic: topic.to_owned(), partition, offset }
}

/// What entries are given as the event's UTidS.
#[must_use]
pub fn utids(event: &Event) -> Option<String> {
    let joined = event.utids().collect::<Vec<_>>().join(",");
    (!joined.is_empty()).then_some(joined)
}

/// A redrive and a replay are runs of their own: they are asked for so that the handler runs again. So is what a group
/// handles under another `kafka.run`.
#[must_use]
pub fn run(event: &Event, context: &Context<'_>) -> String {
    let headers = event.record().headers();
    let text = |name| headers.text(name).unwrap_or_default();
    let (configured, separator) = (context.run, if context.run.is_empty() { "" } else { ":" });
    format!("{configured}{separator}{}/{}", text(hop::RUN), text(hop::REDRIVE))
}

/// Effects are a group's own: a second group on the same database is to have its own results.
fn inbox_key(event: &Event, context: &Context<'_>) -> InboxKey {
    InboxKey {
        group: context.fence.group.clone(),
        handler: context.handler.to_owned(),
        source: event.source().to_owned(),
        id: event.id().to_owned(),
        run: run(event, context),
    }
}

fn stored_success(bytes: &[u8]) -> Result<Success, Failure> {
    serde_json::from_slice(bytes).map_err(|e| Failure::permanent("stored_result_unreadable", e))
}
