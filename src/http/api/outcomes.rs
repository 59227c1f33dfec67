//! How requests ended, as `coafi.results` tells it: kept for a while in memory, and handed to those who wait.
//!
//! Every API follows the whole topic, so whichever is asked knows. Bounded: [`KEPT_MAX`] outcomes and [`BYTES_MAX`] bytes, the
//! oldest go first; what is gone is looked for in the topic itself, by [`LOOKUPS_MAX`] at a time and for
//! [`LOOKUP_TIMEOUT`] each. A request whose outcome would be in memory, if there were one, is pending. Whoever asks an API that
//! has only begun waits for it to have read them, for [`CATCH_UP_TIMEOUT`] at most.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::engine::Class;
use crate::event::Record;
use crate::kafka::scan::{Bound, Followed, Reader, ScanError, Wanted};
use crate::schema::Codec;
use crate::schema::payloads::ApiReply;

const KEPT_MAX: usize = 20_000;
const BYTES_MAX: usize = 64 << 20;
/// Clocks of the database, of replicas and of brokers may be this far apart.
const CLOCKS_APART: Duration = Duration::from_secs(300);
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(10);
const LOOKUPS_MAX: usize = 4;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts at reading a reply whose schema cannot be had.
const DECODE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Id and source of a request.
type Request = (String, String);

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) outcome: String,
    pub(super) status: u16,
    /// JSON.
    pub(super) body: String,
    replied_at: i64,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Ended(Arc<Outcome>),
    Pending,
}

/// The outcomes that one API knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outcomes {
    inner: Arc<Mutex<Inner>>,
    reader: Reader,
    codec: Codec,
    lookups: Arc<Semaphore>,
    caught_up: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    kept: HashMap<Request, Arc<Outcome>>,
    /// Oldest first.
    order: VecDeque<Request>,
    bytes: usize,
    waiting: HashMap<Request, Vec<oneshot::Sender<Arc<Outcome>>>>,
    waiting_count: usize,
    waiting_max: usize,
    /// Everything that was replied after this is kept, in milliseconds since the Unix epoch; `None` before all of it is read.
    horizon: Option<i64>,
}

/// Waits for one outcome.
#[derive(Debug)]
pub(super) struct Waiting {
    outcomes: Outcomes,
    request: Request,
    told: oneshot::Receiver<Arc<Outcome>>,
}

impl Outcomes {
    /// `waiting_max`: callers that may wait at a time.
    #[must_use]
    pub fn new(reader: Reader, codec: Codec, waiting_max: usize) -> Self {
        let inner = Inner {
            kept: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            waiting: HashMap::new(),
            waiting_count: 0,
            waiting_max,
            horizon: None,
        };
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Self { inner: Arc::new(Mutex::new(inner)), reader, codec, lookups, caught_up: watch::Sender::new(false) }
    }

    /// Follows the topic of results until `stop`. `since_ms`: from when on they are read; from the beginning if it is `None`.
    ///
    /// # Errors
    /// No thread can be started, or the one that reads has ended.
    pub async fn follow(self, since_ms: Option<i64>, stop: CancellationToken) -> Result<(), ScanError> {
        let from = since_ms.map_or(Bound::Beginning, time);
        let mut follower = self.reader.follow(RESULTS_TOPIC, from)?;
        loop {
            let followed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                followed = follower.next() => followed,
            };
            match followed {
                Some(Followed::Record(record)) => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = self.learn(&record) => {}
                },
                Some(Followed::CaughtUp) => self.knows_since(since_ms.unwrap_or(i64::MIN)),
                None => return Err(ScanError::Ended),
            }
        }
    }

    fn knows_since(&self, horizon: i64) {
        self.inner().horizon.get_or_insert(horizon);
        self.caught_up.send_replace(true);
    }

    async fn learn(&self, record: &Record) {
        let Some(data) = record.value() else { return };
        loop {
            match self.codec.decode_avro::<ApiReply>(data).await {
                Ok(reply) => {
                    self.inner().keep(reply);
                    return;
                }
                Err(failure) if matches!(failure.class, Class::Systemic(_)) => {
                    tracing::warn!(%failure, "a reply cannot be read now; it is tried again");
                    tokio::time::sleep(DECODE_AGAIN_AFTER).await;
                }
                Err(failure) => {
                    // Somebody else's record: no request of ours ended with it.
                    tracing::warn!(%failure, offset = %record.offset().0, "what is in the topic of results is no reply");
                    return;
                }
            }
        }
    }

    /// What became of a request that was made at `created_ms`.
    ///
    /// # Errors
    /// 503: it cannot be told now.
    pub(super) async fn of(&self, id: &str, source: &str, created_ms: i64) -> Result<Known, Problem> {
        let request = (id.to_owned(), source.to_owned());
        let earliest = created_ms.saturating_sub(i64::try_from(CLOCKS_APART.as_millis()).unwrap_or_default());
        if let Some(outcome) = self.kept(&request) {
            return Ok(Known::Ended(outcome));
        }
        let mut caught_up = self.caught_up.subscribe();
        if tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up.wait_for(|caught_up| *caught_up)).await.is_err() {
            return Err(Problem::unavailable("the outcomes of the last minutes are still being read"));
        }
        if let Some(outcome) = self.kept(&request) {
            return Ok(Known::Ended(outcome));
        }
        if self.inner().horizon.is_some_and(|horizon| horizon <= earliest) {
            return Ok(Known::Pending);
        }
        let Ok(_turn) = self.lookups.try_acquire() else {
            return Err(Problem::unavailable("too many ask for requests of long ago"));
        };
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.look_up(&request, earliest)).await {
            Ok(Ok(found)) => Ok(found.map_or(Known::Pending, |outcome| Known::Ended(Arc::new(outcome)))),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a request's outcome cannot be looked up");
                Err(Problem::unavailable("the outcome cannot be looked up at the moment"))
            }
            Err(_) => Err(Problem::unavailable("the outcome could not be looked up in time")),
        }
    }

    /// The last reply to the request in the topic.
    async fn look_up(&self, request: &Request, earliest: i64) -> Result<Option<Outcome>, anyhow::Error> {
        let wanted = Wanted { from: time(earliest), ..Wanted::all(RESULTS_TOPIC) };
        let mut records = self.reader.read(&self.reader.resolve(wanted).await?)?;
        let mut found: Option<Outcome> = None;
        while let Some(record) = records.next().await? {
            if record.key() != Some(request.0.as_bytes()) {
                continue;
            }
            let Some(data) = record.value() else { continue };
            let reply: ApiReply = self.codec.decode_avro(data).await?;
            if reply.request_source == request.1 {
                found = Some(outcome(reply).1);
            }
        }
        Ok(found)
    }

    /// Begins to wait, before the request is published: its outcome cannot be missed then. `None`: too many wait.
    pub(super) fn wait_for(&self, id: &str, source: &str) -> Option<Waiting> {
        let request = (id.to_owned(), source.to_owned());
        let (tell, told) = oneshot::channel();
        let mut inner = self.inner();
        if let Some(outcome) = inner.kept.get(&request) {
            // Nobody has taken it away meanwhile: the receiver is here.
            let _ = tell.send(Arc::clone(outcome));
        } else {
            if inner.waiting_count >= inner.waiting_max {
                return None;
            }
            inner.waiting_count += 1;
            inner.waiting.entry(request.clone()).or_default().push(tell);
        }
        drop(inner);
        Some(Waiting { outcomes: self.clone(), request, told })
    }

    fn kept(&self, request: &Request) -> Option<Arc<Outcome>> {
        self.inner().kept.get(request).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The outcome, if it comes within this time.
    pub(super) async fn within(mut self, limit: Duration) -> Option<Arc<Outcome>> {
        tokio::time::timeout(limit, &mut self.told).await.ok()?.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.told.close();
        self.outcomes.inner().forget_who_left(&self.request);
    }
}

impl Inner {
    fn keep(&mut self, reply: ApiReply) {
        let (request, outcome) = outcome(reply);
        let outcome = Arc::new(outcome);
        let waiting = self.waiting.remove(&request).unwrap_or_default();
        self.waiting_count -= waiting.len();
        for tell in waiting {
            // Whoever left is not told.
            let _ = tell.send(Arc::clone(&outcome));
        }
        self.bytes += size(&request, &outcome);
        match self.kept.insert(request.clone(), Arc::clone(&outcome)) {
            Some(earlier) => self.bytes -= size(&request, &earlier),
            None => self.order.push_back(request),
        }
        while self.order.len() > KEPT_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(gone) = self.kept.remove(&oldest) else { continue };
            self.bytes -= size(&oldest, &gone);
            self.horizon = self.horizon.map(|horizon| horizon.max(gone.replied_at));
        }
    }

    fn forget_who_left(&mut self, request: &Request) {
        let Some(waiting) = self.waiting.get_mut(request) else { return };
        let before = waiting.len();
        waiting.retain(|tell| !tell.is_closed());
        self.waiting_count -= before - waiting.len();
        if waiting.is_empty() {
            self.waiting.remove(request);
        }
    }
}

fn size((id, source): &Request, outcome: &Outcome) -> usize {
    id.len() * 2 + source.len() * 2 + outcome.body.len() + outcome.outcome.len() + size_of::<Outcome>()
}

fn outcome(reply: ApiReply) -> (Request, Outcome) {
    let ApiReply { request_id, request_source, outcome, status, body, replied_at } = reply;
    let status = u16::try_from(status).unwrap_or(500);
    ((request_id, request_source), Outcome { outcome, status, body, replied_at })
}

fn time(ms: i64) -> Bound {
    Bound::Time(jiff::Timestamp::from_millisecond(ms.max(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::registry::{Client, Settings};

    fn unread(waiting_max: usize) -> Outcomes {
        let codec = Codec::new(Client::new(Settings::new("http://127.0.0.1:1")).unwrap(), false);
        Outcomes::new(Reader::new("127.0.0.1:1", &BTreeMap::new()), codec, waiting_max)
    }

    fn outcomes(waiting_max: usize) -> Outcomes {
        let outcomes = unread(waiting_max);
        outcomes.knows_since(0);
        outcomes
    }

    fn reply(id: &str, status: i32, replied_at: i64) -> ApiReply {
        let (request_id, request_source, outcome) = (id.into(), "/s".into(), "processed".into());
        ApiReply { request_id, request_source, outcome, status, body: "{}".into(), replied_at }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_and_a_later_reply_replaces_an_earlier_one() {
        let outcomes = outcomes(2);
        let (first, second) = (outcomes.wait_for("1", "/s").unwrap(), outcomes.wait_for("1", "/s").unwrap());
        assert!(outcomes.wait_for("2", "/s").is_none(), "too many wait");
        outcomes.inner().keep(reply("1", 500, 1));
        assert_eq!(first.within(Duration::ZERO).await.unwrap().status, 500);
        assert_eq!(second.within(Duration::ZERO).await.unwrap().status, 500);
        outcomes.inner().keep(reply("1", 200, 2));
        let Known::Ended(outcome) = outcomes.of("1", "/s", 1).await.unwrap() else { panic!("it has ended") };
        assert_eq!(outcome.status, 200);
        assert_eq!(outcomes.wait_for("1", "/s").unwrap().within(Duration::ZERO).await.unwrap().status, 200);
        assert!(outcomes.wait_for("2", "/s").unwrap().within(Duration::from_secs(9)).await.is_none());
        let inner = outcomes.inner();
        assert_eq!((inner.waiting_count, inner.waiting.len(), inner.order.len()), (0, 0, 1));
    }

    #[tokio::test]
    async fn what_would_be_known_is_pending_and_the_rest_is_looked_for() {
        let outcomes = outcomes(1);
        let clocks = i64::try_from(CLOCKS_APART.as_millis()).unwrap();
        assert_eq!(outcomes.of("1", "/s", clocks).await, Ok(Known::Pending));
        for n in 0..=KEPT_MAX {
            outcomes.inner().keep(reply(&n.to_string(), 200, i64::try_from(n).unwrap() + 7));
        }
        assert_eq!(outcomes.inner().kept.len(), KEPT_MAX);
        assert!(outcomes.inner().bytes < KEPT_MAX * 256);
        assert_eq!(outcomes.inner().horizon, Some(7), "of that moment one is gone");
        assert_eq!(outcomes.of("x", "/s", clocks + 7).await, Ok(Known::Pending));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_beginning_waits_until_what_there_was_is_read() {
        let outcomes = unread(1);
        assert_eq!(outcomes.of("1", "/s", 0).await.unwrap_err().status.as_u16(), 503, "it takes too long");
        let (asked, ()) = tokio::join!(outcomes.of("1", "/s", 0), async {
            tokio::time::sleep(CATCH_UP_TIMEOUT / 2).await;
            outcomes.inner().keep(reply("1", 200, 1));
            outcomes.knows_since(0);
        });
        assert!(matches!(asked, Ok(Known::Ended(_))), "{asked:?}");
    }
}
