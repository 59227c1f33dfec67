//! One replay, from its plan to its comparison.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::compare::{self, Extent, Trail};
use super::{Asked, Comparison, Passing, Plan, positions};
use crate::app::{Backing, Consumer, ConsumerParts, Places};
use crate::bitt::REPLAY;
use crate::config::{Artifacts, Settings};
use crate::kafka::scan::{Bound, Stretch, Wanted};
use crate::kafka::{Delivery, Status, Watch};

/// The slot of every replay: a second process with the same name fences the first, and says so.
const SLOT: &str = "replay";
/// How often the replica is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is to be replayed, and how.
pub struct Replay<'a> {
    pub settings: &'a Settings,
    pub places: &'a Places,
    /// The live group, whose recorded outcomes are compared with.
    pub group: String,
    /// Names the replay: the same name goes on with it.
    pub name: String,
    /// What the name stands for from now on, unless it was begun before.
    pub asked: Asked,
    pub plan: Plan,
    /// Where database and artifacts of an isolated replay are; effects are real without it.
    pub shadow: Option<&'a Path>,
    /// Events that may begin per second.
    pub rate: Option<NonZeroU32>,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Every position is at the end of its range; else it was stopped before.
    pub complete: bool,
    /// Events that came to their end now, and not under this name before.
    pub handled: u64,
    pub comparison: Comparison,
}

/// The consumer group of a replay of this group's events, and its run.
#[must_use]
pub fn own_group(group: &str, name: &str) -> String {
    format!("{group}{REPLAY}{name}")
}

impl Replay<'_> {
    /// See [`own_group`].
    #[must_use]
    pub fn own_group(&self) -> String {
        own_group(&self.group, &self.name)
    }

    /// Runs until its end, or `stop`; then compares. `progress` hears how many events have ended.
    ///
    /// # Errors
    /// [`Overtaken`](super::Overtaken), Kafka, the database or the registry fail for good, or routes are wrong.
    pub async fn run(self, stop: CancellationToken, progress: impl Fn(u64)) -> anyhow::Result<Replayed> {
        let own = self.own_group();
        let (settings, places) = self.shadowed(&own);
        positions::begin(&places, &own, &self.asked, &self.starts().await?).await?;
        let passing = Arc::new(Passing::new(self.plan.clone(), self.shadow.is_some(), &own));
        let complete = match Backing::open_when_there(&settings, &places, &stop).await? {
            Some(backing) => {
                let parts = ConsumerParts {
                    settings: &settings,
                    places: &places,
                    backing: &backing,
                    group: own.clone(),
                    slot: SLOT.to_owned(),
                    delivery: Delivery::Transactional,
                    tally: None,
                    metrics: None,
                    otel: false,
                    hangup: None,
                    publishes_status: false,
                    runs_workflows: true,
                    replay: Some(Replaying { passing: Arc::clone(&passing), rate: self.rate }),
                };
                consume(parts, &self.plan.stretches, &stop, || progress(passing.done())).await?
            }
            None => false,
        };
        let codec = crate::schema::Codec::new(crate::schema::registry::Client::new(places.registry.clone())?, false);
        let recorded = Trail { group: self.group.clone(), run: self.settings.kafka.run.clone() };
        let replayed = Trail { group: own.clone(), run: own };
        let extent = if complete { Extent::Through } else { Extent::Stopped };
        let comparison = compare::compare(&places.reader(), &codec, &self.plan, &recorded, &replayed, extent).await?;
        Ok(Replayed { complete, handled: passing.done(), comparison })
    }

    /// Where the group begins: at the stretches, and at the end of the partitions that have none.
    async fn starts(&self) -> anyhow::Result<Vec<Stretch>> {
        let topics = self.plan.stretches.iter().map(|stretch| stretch.source.topic.to_string()).collect();
        let wanted = Wanted { topics, partitions: BTreeSet::new(), from: Bound::End, to: Bound::End };
        let mut starts = self.places.reader().resolve(wanted).await?;
        starts.retain(|start| !self.plan.stretches.iter().any(|stretch| stretch.source == start.source));
        starts.extend(self.plan.stretches.iter().cloned());
        Ok(starts)
    }

    /// The settings and places of the replay: another run, and if isolated nothing of what the live group has.
    fn shadowed(&self, own: &str) -> (Settings, Places) {
        let (mut settings, mut places) = (self.settings.clone(), self.places.clone());
        own.clone_into(&mut settings.kafka.run);
        if let Some(directory) = self.shadow {
            settings.schema_registry.auto_register = false;
            places.database = format!("sqlite:{}", directory.join("replay.db").display());
            places.artifacts = Artifacts::Directory(directory.join("artifacts"));
            places.reaches_others = false;
        }
        (settings, places)
    }
}

/// What a replica is told that replays.
pub struct Replaying {
    pub(in crate::app) passing: Arc<Passing>,
    pub(in crate::app) rate: Option<NonZeroU32>,
}

impl Replaying {
    /// Only these are subscribed to: no retry topic of the live group.
    pub(in crate::app) fn topics(&self) -> Vec<String> {
        let topics: BTreeSet<&str> = self.passing.plan.stretches.iter().map(|stretch| &*stretch.source.topic).collect();
        topics.into_iter().map(str::to_owned).collect()
    }
}

/// Whether every position has come to the end of its stretch, and not `stop` first.
async fn consume(
    parts: ConsumerParts<'_>,
    stretches: &[Stretch],
    stop: &CancellationToken,
    look: impl Fn(),
) -> anyhow::Result<bool> {
    let Some(consumer) = Consumer::start(parts, stop).await? else { return Ok(false) };
    let (watch, end) = (consumer.watch(), stop.child_token());
    let running = consumer.run(end.clone());
    tokio::pin!(running);
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            status = &mut running => return Ok(has_ended(&status?, stretches)),
            _ = ticks.tick() => {
                look();
                if has_ended(&Watch::status(&watch), stretches) {
                    end.cancel();
                    running.await?;
                    look();
                    return Ok(true);
                }
            }
        }
    }
}

fn has_ended(status: &Status, stretches: &[Stretch]) -> bool {
    stretches.iter().all(|stretch| {
        let own = status.assignment.iter().find(|partition| partition.source == stretch.source);
        own.is_some_and(|partition| partition.committed >= stretch.to)
    })
}
