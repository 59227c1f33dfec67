//! Tells people of what this replica cannot mend: outages that last, and that they are over; records that stand still, were
//! lost, or took processes with them.
//!
//! Each replica says what it sees; equal messages are said once, since their dedupKey is that of the outage. What notifications
//! themselves need is down without Kafka or the database: then the channels marked `direct` are told at once, best effort. What
//! cannot be published waits until it can.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::connectors::{EventProducer, NewSourceEvent, traceparent_of};
use crate::dispatch::Services;
use crate::engine::Dependency;
use crate::handlers::notification::events::TOPIC;
use crate::kafka::{Status, Watch};
use crate::notify::Severity;
use crate::runtime::unix_ms;
use crate::schema::payloads::{DeliveredNotification, NotificationDelivery, NotificationRequested};
use crate::schema::{AVRO_CONTENT_TYPE, Payload as _};

/// Between two looks at the status.
const INTERVAL: Duration = Duration::from_secs(1);
/// Outages that are followed at a time.
const OUTAGES_MAX: usize = 100;
/// Messages that wait to be published; a replica that has more to say than that has said enough.
const WAITING_MAX: usize = 2 * OUTAGES_MAX;
/// To publish one, while nothing is down: what fails so often fails for itself.
const TRIES_MAX: u32 = 60;
/// Of what is wrong, in a message.
const TROUBLE_CHARS_MAX: usize = 1_000;
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);
const QUEUE_BYTES: usize = 1 << 20;
/// What the brokers are called here; the engine has no circuit for them.
const KAFKA: &str = "kafka";

pub(super) struct Escalation {
    pub(super) services: Arc<Services>,
    pub(super) client: ClientConfig,
    pub(super) group: String,
    pub(super) watch: Watch,
    /// An outage that is shorter is nobody's business.
    pub(super) after: Duration,
}

struct Outage {
    since: Instant,
    told: bool,
}

/// A message that is not known to be published.
struct Waiting {
    /// The same at each try: a message that was published all the same is told once.
    id: String,
    requested: NotificationRequested,
    told_directly: bool,
    tries: u32,
}

/// What is said of one thing.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    title: String,
    text: String,
    key: String,
    resolved: bool,
    /// Whether notifications need what it is about.
    direct: bool,
}

impl Escalation {
    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let (mut outages, mut waiting) = (BTreeMap::new(), VecDeque::new());
        let mut counted = self.watch.status().incidents.by_kind();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let status = self.watch.status();
            let mut all = follow(&mut outages, &down(&status), &unneeded(&status), Instant::now(), self.after);
            let counts = status.incidents.by_kind();
            all.extend(incidents(&counted, &counts));
            counted = counts;
            let telling = async {
                for said in all {
                    self.tell(said, &mut waiting).await;
                }
                self.publish_all(&mut waiting, &status).await;
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = telling => {}
            }
        }
    }

    /// Those who can be told without Kafka at once, if that is needed; the others by what then waits to be published.
    async fn tell(&self, said: Said, waiting: &mut VecDeque<Waiting>) {
        let notifier = &self.services.notifier;
        let direct = self.direct();
        let source = format!("/coafi/groups/{}", self.group);
        let channels = notifier.decide(Severity::Critical, &source);
        let mut requested = NotificationRequested {
            title: said.title,
            text: said.text,
            template: String::new(),
            data: String::new(),
            severity: Severity::Critical.name().to_owned(),
            dedup_key: format!("{}/{}", self.group, said.key),
            group_key: String::new(),
            channels: channels.keys().map(|name| (*name).to_owned()).collect(),
            resolved: said.resolved,
            url: String::new(),
            utids: Vec::new(),
            source,
        };
        if said.direct && !direct.is_empty() {
            self.tell_directly(&requested, &direct).await;
            requested.channels.retain(|name| !direct.contains(&name.as_str()));
        }
        if requested.channels.is_empty() {
            return;
        }
        if waiting.len() >= WAITING_MAX {
            tracing::error!(
                title = requested.title,
                "nobody is told: {WAITING_MAX} notifications wait to be published"
            );
            return;
        }
        let id = format!("escalation-{}", uuid::Uuid::new_v4());
        waiting.push_back(Waiting { id, requested, told_directly: said.direct, tries: 0 });
    }

    /// In order, up to the first that cannot be published: of that one the direct channels are told meanwhile.
    async fn publish_all(&self, waiting: &mut VecDeque<Waiting>, status: &Status) {
        while let Some(first) = waiting.front_mut() {
            let published = match status.brokers_down {
                true => Err("no broker answers".into()),
                false => self.publish(first).await,
            };
            let Err(error) = published else {
                waiting.pop_front();
                continue;
            };
            first.tries += u32::from(!status.brokers_down && status.open_circuits.is_empty());
            let title = &first.requested.title;
            if !std::mem::replace(&mut first.told_directly, true) {
                tracing::warn!(error = &*error as &dyn Error, title, "the notification waits to be published");
                let direct = self.direct();
                self.tell_directly(&first.requested, &direct).await;
                first.requested.channels.retain(|name| !direct.contains(&name.as_str()));
            }
            if first.requested.channels.is_empty() {
                waiting.pop_front();
            } else if first.tries >= TRIES_MAX {
                let (title, tries) = (&first.requested.title, first.tries);
                tracing::error!(error = &*error as &dyn Error, title, tries, "the notification was not published");
                waiting.pop_front();
            }
            return;
        }
    }

    /// The channels that can be told without what the others need.
    fn direct(&self) -> Vec<&str> {
        let channels = self.services.notifier.channels();
        channels.filter(|channel| channel.direct).map(|channel| channel.name.as_str()).collect()
    }

    async fn tell_directly(&self, requested: &NotificationRequested, channels: &[&str]) {
        for channel in channels {
            let id = format!("direct-{}", uuid::Uuid::new_v4());
            let delivery = NotificationDelivery {
                channel: (*channel).to_owned(),
                group_key: String::new(),
                notifications: vec![DeliveredNotification {
                    id: id.clone(),
                    title: requested.title.clone(),
                    text: requested.text.clone(),
                    severity: requested.severity.clone(),
                    source: requested.source.clone(),
                    dedup_key: requested.dedup_key.clone(),
                    resolved: requested.resolved,
                    url: String::new(),
                    data: String::new(),
                    requested_at: unix_ms(),
                }],
                utids: Vec::new(),
            };
            match self.services.notifier.send(&id, &delivery).await {
                Ok(sent) => {
                    tracing::info!(
                        channel,
                        title = requested.title,
                        answer = sent.answer,
                        "a channel was told directly"
                    );
                }
                Err(error) => {
                    let error = &error as &dyn Error;
                    tracing::error!(error, channel, title = requested.title, "a channel was not told directly");
                }
            }
        }
    }

    async fn publish(&self, waiting: &Waiting) -> Result<(), Box<dyn Error + Send + Sync>> {
        let requested = &waiting.requested;
        let event = NewSourceEvent {
            topic: TOPIC.into(),
            event_type: NotificationRequested::EVENT_TYPE.to_owned(),
            source: requested.source.clone(),
            subject: None,
            id: waiting.id.clone(),
            time_ms: Some(unix_ms()),
            // In order: it is over after it has begun.
            key: requested.dedup_key.clone(),
            correlation_id: None,
            utids: Vec::new(),
            reply_to: None,
            tenant: None,
            content_type: AVRO_CONTENT_TYPE,
            data: self.services.codec.encode(TOPIC, requested).await?,
        };
        let producer = EventProducer::new(&self.client, QUEUE_BYTES, PUBLISH_TIMEOUT)?;
        producer.send(&event.into_record(&traceparent_of(&tracing::Span::current()))).await?;
        Ok(())
    }
}

/// What is down, and why.
fn down(status: &Status) -> BTreeMap<String, String> {
    let why = |dependency: &Dependency| {
        let trouble = status.outages.get(dependency);
        trouble.map_or_else(String::new, |trouble| trouble.message.chars().take(TROUBLE_CHARS_MAX).collect())
    };
    let mut down: BTreeMap<String, String> =
        status.open_circuits.iter().map(|dependency| (dependency.0.to_string(), why(dependency))).collect();
    if status.brokers_down {
        down.insert(KAFKA.to_owned(), status.trouble.clone().unwrap_or_default());
    }
    down
}

fn unneeded(status: &Status) -> BTreeSet<String> {
    status.unneeded.iter().map(|dependency| dependency.0.to_string()).collect()
}

/// What there is to say now: each outage once when it has lasted, and once when it is over.
fn follow(
    known: &mut BTreeMap<String, Outage>,
    down: &BTreeMap<String, String>,
    unneeded: &BTreeSet<String>,
    now: Instant,
    after: Duration,
) -> Vec<Said> {
    let mut said = Vec::new();
    for (dependency, why) in down {
        if !known.contains_key(dependency) && known.len() < OUTAGES_MAX {
            known.insert(dependency.clone(), Outage { since: now, told: false });
        }
        let Some(outage) = known.get_mut(dependency) else { continue };
        let lasted = now.duration_since(outage.since);
        if lasted >= after && !std::mem::replace(&mut outage.told, true) {
            let text = format!(
                "It has been for {}. What needs it waits; no attempt is used, nothing is dead-lettered.\n{why}",
                crate::config::format_duration(Duration::from_secs(lasted.as_secs()))
            );
            said.push(of_outage(dependency, format!("{dependency} is down"), text, false));
        }
    }
    let over: Vec<String> = known.keys().filter(|dependency| !down.contains_key(*dependency)).cloned().collect();
    for dependency in over {
        let told = known.remove(&dependency).is_some_and(|outage| outage.told);
        // What nothing here waits for any more may still be down.
        if told && !unneeded.contains(&dependency) {
            let text = "What waited for it goes on.".to_owned();
            said.push(of_outage(&dependency, format!("{dependency} answers again"), text, true));
        }
    }
    said
}

fn of_outage(dependency: &str, title: String, text: String, resolved: bool) -> Said {
    let direct = [KAFKA, Dependency::DATABASE, Dependency::SCHEMA_REGISTRY, Dependency::LEDGER].contains(&dependency);
    Said { title, text, key: format!("outage/{dependency}"), resolved, direct }
}

/// Of each kind that there are more of, but for outages, which are said above.
fn incidents(before: &[(&'static str, u64)], now: &[(&'static str, u64)]) -> Vec<Said> {
    let grown = before.iter().zip(now).filter(|((_, before), (_, now))| now > before);
    let what = |kind: &str| match kind {
        "halted" => Some("A record stands still, as its route's policy says"),
        "events_lost" => Some("Retention took events before they were read"),
        "crash" => Some("A record was running in several processes that died, and was dead-lettered"),
        _ => None,
    };
    let said = |((kind, before), (_, now)): (&(&'static str, u64), &(&'static str, u64))| {
        Some(Said {
            title: what(kind)?.to_owned(),
            text: format!("{} more on this replica; `coafi group why` and the log say which.", now - before),
            key: format!("incident/{kind}"),
            resolved: false,
            direct: false,
        })
    };
    grown.filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_when_it_lasts_and_once_when_it_is_over() {
        let (begun, after) = (Instant::now(), Duration::from_secs(60));
        let mut known = BTreeMap::new();
        let unneeded = BTreeSet::from(["http:shop".to_owned()]);
        let mut at = |seconds: u64, down: &[&str]| {
            let down = down.iter().map(|name| ((*name).to_owned(), "refused".to_owned())).collect();
            let said = follow(&mut known, &down, &unneeded, begun + Duration::from_secs(seconds), after);
            said.into_iter().map(|said| (said.title, said.resolved, said.direct)).collect::<Vec<_>>()
        };
        let said = |title: &str, resolved, direct| vec![(title.to_owned(), resolved, direct)];
        assert_eq!(at(0, &["database", "artifacts"]), []);
        assert_eq!(at(59, &["database"]), [], "one that was short is nobody's business");
        assert_eq!(at(60, &["database"]), said("database is down", false, true));
        assert_eq!(at(61, &["database", "artifacts"]), []);
        assert_eq!(
            at(121, &["artifacts"]),
            [said("artifacts is down", false, false), said("database answers again", true, true)].concat()
        );
        assert_eq!(at(122, &["artifacts", "database"]), [], "another one");
        assert_eq!(
            at(182, &["database"]),
            [said("database is down", false, true), said("artifacts answers again", true, false)].concat()
        );
        assert_eq!(at(183, &["http:shop"]), said("database answers again", true, true));
        assert_eq!(at(243, &["http:shop"]), said("http:shop is down", false, false));
        assert_eq!(at(244, &[]), [], "nothing here waits for it any more: that it answers nobody knows");
    }

    #[test]
    fn incidents_are_said_by_kind_and_outages_are_not_said_twice() {
        let before = [("outage", 0), ("halted", 1), ("events_lost", 0), ("crash", 2)];
        let now = [("outage", 3), ("halted", 3), ("events_lost", 0), ("crash", 2)];
        let said = incidents(&before, &now);
        assert_eq!(said.iter().map(|said| said.key.as_str()).collect::<Vec<_>>(), ["incident/halted"]);
        assert!(said[0].text.starts_with("2 more"), "{}", said[0].text);
    }
}
