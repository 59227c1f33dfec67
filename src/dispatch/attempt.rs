//! One attempt at one event: filter, rate limit, handlers, deadline.
//!
//! A handler that is ready at its first poll costs no timer. Handlers of one event run concurrently and do not stop each
//! other; those that have succeeded are remembered in `done` and do not run again.
//!
//! **The class of the event.** Of several failures the one decides that keeps the event alive the longest: systemic before
//! transient before deadline before panic, and only then those that no retry helps. Otherwise one handler's permanent failure
//! would take the others' retries away; it comes up again when they are through.
//!
//! **A request whose caller waits** and that is invalid, whatever handler says so, is handled by telling the caller: no dead
//! letter is made of what somebody else is to mend (see [`super::render`]'s replies).
//!
//! **A failure that comes after the effect.** What an earlier run has written may be all that is left of it: its replica died
//! before its outcome was committed, or its answer came too late for the deadline. So no attempt is failed before the inbox has
//! been asked; or an event would be dead-lettered whose effect is made, and be redriven to a second one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::Instrument as _;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::contain::{Contain, Panicked, contain};
use super::delivery::Delivery;
use super::ending::Admission;
use super::report::{HandlerRun, Refusal, Report};
use super::shared::Shared;
use super::{Asking, Context, Failure, Handler, NewEvent, Place, Route, Routed, Success, once, probe, replies, trace};
use crate::engine::{Attempt, Class, Job};
use crate::event::Event;
use crate::store::Fence;

/// How an attempt ended.
pub(super) struct End {
    pub(super) verdict: Attempt,
    pub(super) done: u16,
    pub(super) took: Duration,
    /// The least time before the next attempt that a handler asks for.
    pub(super) wait: Duration,
    pub(super) report: Report,
}

/// What keeps an event alive the longest comes first.
pub(super) const fn rank(class: &Class) -> u8 {
    match class {
        Class::Systemic(_) => 0,
        Class::Transient => 1,
        Class::Deadline => 2,
        Class::Panic => 3,
        Class::Invalid => 4,
        Class::Permanent => 5,
        Class::Poison => 6,
        Class::Crash => 7,
    }
}

pub(super) async fn attempt(
    shared: Arc<Shared>,
    job: Job<Arc<Delivery>>,
    fence: Arc<Fence>,
    admission: Arc<Admission>,
) -> End {
    let started = shared.clock.now();
    let routed = job.payload.route.clone().expect("only what a route takes is handed out");
    let span = shared.span(&routed, &job);
    let traceparent = shared.otel.then(|| trace::traceparent(&span)).flatten();
    let (wanted, mut runs) = run(&shared, &routed, &job, &fence, &admission).instrument(span).await;
    redact(&shared, &job.payload, &mut runs).await;
    let waited_for = job.payload.event().is_some_and(replies::wants_reply);
    let answered = waited_for && is_answered(&runs);
    let done = |run: &&HandlerRun| answered || run.result.is_ok();
    let done = runs.iter().filter(done).fold(job.done, |done, run| done | bit(run.handler));
    let ended = shared.clock.now();
    let report = Report {
        started_ms: shared.clock.unix_ms(started),
        ended_ms: shared.clock.unix_ms(ended),
        runs,
        traceparent,
        route: routed,
    };
    let verdict = match report.refusal() {
        Some(_) if is_fenced(&report) => Attempt::Fenced,
        Some(_) if answered => Attempt::Succeeded,
        Some((_, refusal)) => Attempt::Failed { class: refusal.failure.class.clone(), code: code(&refusal.failure) },
        None if wanted => Attempt::Succeeded,
        None => Attempt::Filtered,
    };
    End { verdict, done, took: ended - started, wait: report.asked_wait(), report }
}

/// Before anybody is told: what is written of an attempt stays.
async fn redact(shared: &Shared, delivery: &Delivery, runs: &mut [HandlerRun]) {
    let Some(event) = delivery.event().filter(|_| !shared.redaction.is_none()) else { return };
    for refusal in runs.iter_mut().filter_map(|run| run.result.as_mut().err()) {
        shared.redaction.apply(event, &mut refusal.failure, &shared.services).await;
    }
}

/// Whether the store refused a write of any handler, whatever else failed.
fn is_fenced(report: &Report) -> bool {
    report.runs.iter().any(|run| run.result.as_ref().is_err_and(|refusal| refusal.failure.code == Failure::FENCED))
}

/// Whether whoever waits for the event can mend all that is wrong: then telling them so is all that becomes of it.
fn is_answered(runs: &[HandlerRun]) -> bool {
    let mendable = |run: &HandlerRun| run.result.as_ref().err().is_none_or(|r| r.failure.class == Class::Invalid);
    runs.iter().all(mendable)
}

fn bit(handler: Option<u8>) -> u16 {
    handler.map_or(0, |index| 1 << index)
}

/// "The same error": class, code and what it is about, without the message.
fn code(failure: &Failure) -> u64 {
    let about = failure.about.as_deref().map_or(0, |thing| xxh3_64(thing.as_bytes()));
    let class = xxh3_64_with_seed(failure.class.name().as_bytes(), about);
    xxh3_64_with_seed(failure.code.as_bytes(), class)
}

/// Whether the event is wanted, and what ran.
async fn run(
    shared: &Shared,
    routed: &Routed,
    job: &Job<Arc<Delivery>>,
    fence: &Fence,
    admission: &Admission,
) -> (bool, Vec<HandlerRun>) {
    let route = routed.route();
    let event = match admissible(&job.payload) {
        Ok(event) => event,
        Err(failure) => return (true, vec![before_handlers(failure)]),
    };
    match wanted(shared, route, event).await {
        Ok(true) => {}
        Ok(false) => return (false, Vec::new()),
        Err(failure) => return (true, vec![before_handlers(failure)]),
    }
    if let Some(limiter) = routed.limiter() {
        admission.through(limiter.admit()).await;
    }
    if let Some(limiter) = &shared.overall {
        admission.through(limiter.admit()).await;
    }
    let handlers = routed.handlers();
    let due = |index: &usize| job.done & (1 << index) == 0;
    let subject = Subject { event, place: job.payload.place(), attempt: job.attempt, fence };
    let one = |index: usize| handle(shared, route, index, &handlers[index], subject);
    let mut indices = (0..handlers.len()).filter(due);
    match (indices.next(), indices.next()) {
        (None, _) => (true, Vec::new()),
        (Some(only), None) => (true, vec![one(only).await]),
        (Some(_), Some(_)) => (true, join_all((0..handlers.len()).filter(due).map(one)).await),
    }
}

fn before_handlers(failure: Failure) -> HandlerRun {
    HandlerRun { handler: None, took: Duration::ZERO, result: Err(failure.into()) }
}

/// What parsing left open because it costs more than the poll thread should spend.
fn admissible(delivery: &Delivery) -> Result<&Event, Failure> {
    if let Some((code, message)) = delivery.poison() {
        return Err(Failure::poison(code, message));
    }
    let event = delivery.event().ok_or_else(|| Failure::poison("not_an_event", "the record is not an event"))?;
    match event.time() {
        Ok(_) => Ok(event),
        Err(text) => Err(Failure::poison(
            "invalid_time",
            format!("CloudEvents attribute \"time\" is {text:?}; allowed: RFC 3339, such as 2026-01-31T12:00:00Z"),
        )),
    }
}

async fn wanted(shared: &Shared, route: &Route, event: &Event) -> Result<bool, Failure> {
    let Some(filter) = &route.filter else { return Ok(true) };
    filter.asked(event, &shared.services.codec).await
}

/// What every handler of an attempt is given.
#[derive(Clone, Copy)]
struct Subject<'a> {
    event: &'a Event,
    place: Place<'a>,
    attempt: u32,
    fence: &'a Fence,
}

async fn handle(
    shared: &Shared,
    route: &Route,
    index: usize,
    handler: &Arc<dyn Handler>,
    subject: Subject<'_>,
) -> HandlerRun {
    let started = shared.clock.now();
    let Subject { event, place, attempt, fence } = subject;
    let (services, handler_name, run) = (&*shared.services, &*route.handlers[index], &*shared.run);
    let asking = Asking::default();
    let context = Context { services, attempt, handler: handler_name, run, place, fence, asking };
    let answer = match contain(|| handler.handle(event, &context)) {
        Ok(future) => within(route.deadline, Contain(future)).await,
        Err(panicked) => Some(Err(panicked)),
    };
    let hung = if answer.is_none() {
        let asked = context.asking.last();
        let dependencies = route.policy.dependencies.iter().chain(&asked);
        probe::hanging(services, dependencies, route.deadline).await
    } else {
        None
    };
    let result = match hung.map_or_else(|| outcome(answer, route.deadline), |failure| Err(failure.into())) {
        Err(refusal) if may_come_after_the_effect(&refusal.failure) => match once::earlier(event, &context).await {
            Ok(earlier) => earlier.ok_or(refusal),
            Err(failure) => Err(failure.into()),
        },
        result => result,
    };
    HandlerRun {
        handler: Some(u8::try_from(index).expect("at most MAX_HANDLERS")),
        took: shared.clock.now() - started,
        result: result.and_then(|success| producible(success, shared.max_record_bytes)),
    }
}

/// Not what depends on the event alone, since no run of it can have got on; nor what is repeated without using up an attempt.
fn may_come_after_the_effect(failure: &Failure) -> bool {
    let class = matches!(failure.class, Class::Transient | Class::Deadline | Class::Panic | Class::Permanent);
    class && failure.code != Failure::FENCED
}

fn outcome(result: Option<Result<Result<Success, Failure>, Panicked>>, deadline: Duration) -> Result<Success, Refusal> {
    match result {
        Some(Ok(answer)) => answer.map_err(Refusal::from),
        Some(Err(Panicked { message, location })) => {
            Err(Refusal { failure: Failure::new(Class::Panic, "panicked", message), location })
        }
        None => {
            let message = format!("no answer within {deadline:?}");
            Err(Failure::new(Class::Deadline, "deadline_exceeded", message).into())
        }
    }
}

/// A derived event that no broker takes would stop the transaction that it is in, again and again.
fn producible(success: Success, max_record_bytes: usize) -> Result<Success, Refusal> {
    let size = |new: &NewEvent| new.data.len() + new.key.len() + new.id.len() + new.source.len() + DERIVED_OVERHEAD;
    match success.emit.iter().find(|new| size(new) > max_record_bytes) {
        None => Ok(success),
        Some(new) => {
            let message = format!("derived event {:?} has {} bytes; allowed: {max_record_bytes}", new.id, size(new));
            Err(Failure::permanent("derived_event_too_large", message).into())
        }
    }
}

/// Attributes that a derived event inherits, and what Kafka adds.
const DERIVED_OVERHEAD: usize = 4_096;

/// `None` if it takes longer. The timer is made only for what is not ready at once.
async fn within<F: Future + Unpin>(deadline: Duration, mut future: F) -> Option<F::Output> {
    let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
    match first {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(deadline, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_has_class_code_and_subject_in_common() {
        let failure = |message: &str| Failure::transient("git_unreachable", message);
        let base = code(&failure("one"));
        assert_eq!(base, code(&failure("another")));
        assert_ne!(base, code(&Failure::permanent("git_unreachable", "one")));
        assert_ne!(base, code(&Failure::transient("git_timeout", "one")));
        let of_a = code(&failure("one").about("/a"));
        assert_eq!(of_a, code(&failure("another").about("/a")));
        assert!(of_a != base && of_a != code(&failure("one").about("/b")));
    }
}
