//! Looks at a polled record, on the poll thread: is it an event, which route takes it, what keeps its order.

use std::sync::Arc;

use super::delivery::{Content, Delivery};
use super::hop::{self, Hop};
use super::{ConsumedTopic, Routed, Routing};
use crate::engine::{Arrival, Rerouted, Verdict};
use crate::event::{Attribute, Event, Identity, Record, lane_hash};
use crate::runtime::Clock;

/// Events that name no tenant are one tenant together.
const NO_TENANT: u64 = 0;

pub(super) fn classify(routing: &Arc<Routing>, record: Record, clock: &Clock) -> Arrival<Arc<Delivery>> {
    let offset = record.offset();
    let received_ms = clock.unix_ms(clock.now());
    let bytes = record.size() + record.headers().size() + size_of::<Delivery>();
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let topic = Arc::clone(record.topic());
    let topic = ConsumedTopic::parse(&topic);
    let hop = Hop::read(topic, &record);
    let event = match Event::parse(record.clone()) {
        Ok(event) => event,
        Err(why) => {
            let content = Content::Unreadable(record, why);
            let payload = Arc::new(Delivery { content, route: None, hop: None, received_ms });
            return arrival(offset, bytes, Verdict::Poison, payload);
        }
    };
    let route = routing.find(topic.base, event.event_type(), event.source());
    let hop = match hop {
        Ok(hop) => hop,
        Err(why) => {
            let payload = Arc::new(Delivery { content: Content::Spoilt(event, why), route, hop: None, received_ms });
            return arrival(offset, bytes, Verdict::Poison, payload);
        }
    };
    let verdict = verdict(route.as_ref(), &record, &event);
    let identity = identity(&record, &event, hop.is_none());
    let (attempts, done, not_before) = match (&hop, &route) {
        (Some(hop), Some(route)) => {
            (hop.attempts, hop.done_bits(&route.route().handlers), due(topic, hop, received_ms, clock))
        }
        _ => (0, 0, None),
    };
    let tenant = event.attribute(Attribute::TenantId).map_or(NO_TENANT, |tenant| lane_hash(tenant.as_bytes()));
    let payload = Arc::new(Delivery { content: Content::Event(event), route, hop: hop.map(Box::new), received_ms });
    Arrival { identity, tenant, attempts, done, not_before, ..arrival(offset, bytes, verdict, payload) }
}

/// Looks at a record again that was routed under earlier routes.
pub(super) fn reclassify(routing: &Arc<Routing>, delivery: &Delivery) -> Rerouted<Arc<Delivery>> {
    let (verdict, route) = match &delivery.content {
        Content::Event(event) => {
            let base = ConsumedTopic::parse(event.record().topic()).base;
            let route = routing.find(base, event.event_type(), event.source());
            (verdict(route.as_ref(), event.record(), event), route)
        }
        Content::Unreadable(..) | Content::Spoilt(..) => (Verdict::Poison, None),
    };
    let payload = Arc::new(Delivery { route, ..delivery.clone() });
    Rerouted { verdict, payload }
}

/// The identity by which a record is deduplicated, if it is.
pub(super) fn identity_of(record: &Record) -> Option<Identity> {
    let event = Event::parse(record.clone()).ok()?;
    let from_source = ConsumedTopic::parse(record.topic()).tier.is_none();
    identity(record, &event, from_source)
}

fn verdict(route: Option<&Routed>, record: &Record, event: &Event) -> Verdict {
    match route {
        Some(route) => Verdict::Routed { route: route.id(), lane: lane(record, event) },
        None => Verdict::Unrecognised,
    }
}

fn arrival(
    offset: crate::event::Offset,
    bytes: u32,
    verdict: Verdict,
    payload: Arc<Delivery>,
) -> Arrival<Arc<Delivery>> {
    Arrival {
        offset,
        bytes,
        verdict,
        identity: None,
        tenant: NO_TENANT,
        attempts: 0,
        done: 0,
        not_before: None,
        payload,
    }
}

/// Records with the same key share a lane; without a key, those with the same `partitionkey`, else the same source.
fn lane(record: &Record, event: &Event) -> u64 {
    match record.key() {
        Some(key) => lane_hash(key),
        None => lane_hash(event.attribute(Attribute::PartitionKey).unwrap_or_else(|| event.source()).as_bytes()),
    }
}

/// What comes a second time on purpose (a retry, a redrive, what a replay derived) is no duplicate.
fn identity(record: &Record, event: &Event, from_source: bool) -> Option<Identity> {
    let again =
        || record.headers().iter().any(|(name, _)| [hop::REDRIVE.as_bytes(), hop::RUN.as_bytes()].contains(&name));
    (from_source && !again()).then(|| Identity::new(event.source(), event.id(), 0))
}

/// At most the topic's delay from now on, so that a skewed clock or a forged header holds the partition no longer.
fn due(topic: ConsumedTopic<'_>, hop: &Hop, received_ms: i64, clock: &Clock) -> Option<crate::engine::Time> {
    let tier_ms = i64::try_from(topic.tier?.as_millis()).unwrap_or(i64::MAX);
    Some(clock.at_unix_ms(hop.not_before_ms?.min(received_ms.saturating_add(tier_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::fixture::routing;
    use crate::dispatch::{Known, Routes};
    use crate::engine::RouteId;
    use crate::event::{Offset, RecordBuilder};

    const ROUTES: &str = "routes:
  - {name: commits, match: {type: git.commit}, handlers: [log, noop], retry: {topics: [5s]}}
  - {name: off, match: {type: git.tag}, handler: log, enabled: false}
";

    fn look(topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &str)]) -> Arrival<Arc<Delivery>> {
        let known = Known { handlers: ["log", "noop"].map(str::to_owned).into(), ..Known::default() };
        let routes = Routes::parse("r.yaml", ROUTES, &known).unwrap();
        let mut builder = RecordBuilder::new(key, value, 0);
        for (name, value) in headers {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        let record = builder.build(topic.into(), 0, Offset(5), Some(1));
        classify(&routing(Arc::new(routes)), record, &Clock::start())
    }

    fn attributes<'a>(event_type: &'a str, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&[("ce_id", "1"), ("ce_source", "/s"), ("ce_type", event_type)][..], extra].concat()
    }

    fn lane_of(arrival: &Arrival<Arc<Delivery>>) -> u64 {
        let Verdict::Routed { route: RouteId(0), lane } = arrival.verdict else { panic!("{:?}", arrival.verdict) };
        lane
    }

    #[test]
    fn the_lane_is_the_key_then_the_partition_key_then_the_source() {
        let plain = attributes("git.commit", &[]);
        let with = attributes("git.commit", &[("ce_partitionkey", "p")]);
        assert_eq!(lane_of(&look("t", Some(b"k"), Some(b"v"), &with)), lane_hash(b"k"));
        assert_eq!(lane_of(&look("t", None, Some(b"v"), &with)), lane_hash(b"p"));
        assert_eq!(lane_of(&look("t", None, Some(b"v"), &plain)), lane_hash(b"/s"));
    }

    #[test]
    fn what_has_no_route_or_is_no_event_says_so() {
        let unknown = look("t", None, Some(b"v"), &attributes("git.push", &[]));
        assert_eq!((unknown.verdict, &unknown.payload.route), (Verdict::Unrecognised, &None));
        // The engine lets nothing of a disabled route run.
        let disabled = look("t", None, Some(b"v"), &attributes("git.tag", &[]));
        assert!(matches!(disabled.verdict, Verdict::Routed { route: RouteId(1), .. }));
        let tombstone = look("t", Some(b"k"), None, &attributes("git.commit", &[]));
        assert_eq!((tombstone.verdict, tombstone.identity), (Verdict::Poison, None));
        assert!(tombstone.payload.poison().is_some_and(|(code, _)| code == "not_an_event"));
        assert!(tombstone.bytes as usize >= size_of::<Delivery>());
    }

    #[test]
    fn the_tenant_is_the_extension_and_none_is_one_too() {
        let of = |tenant: &[(&str, &str)]| look("t", None, Some(b"v"), &attributes("git.commit", tenant)).tenant;
        assert_eq!(of(&[]), NO_TENANT);
        assert_ne!(of(&[("ce_tenantid", "a")]), of(&[("ce_tenantid", "b")]));
        assert_eq!(of(&[("ce_tenantid", "a")]), of(&[("ce_tenantid", "a")]));
    }

    #[test]
    fn new_routes_look_at_a_record_again() {
        let known = Known { handlers: ["log", "noop"].map(str::to_owned).into(), ..Known::default() };
        let look_again = |routes: &str| {
            let routes = Routes::parse("r.yaml", routes, &known).unwrap();
            let before = look("t", Some(b"k"), Some(b"v"), &attributes("git.commit", &[]));
            let again = reclassify(&routing(Arc::new(routes)), &before.payload);
            let version = again.payload.route.as_ref().map(|route| route.version().to_owned());
            assert_ne!(version, before.payload.route.as_ref().map(|route| route.version().to_owned()));
            again.verdict
        };
        let lane = lane_hash(b"k");
        let second = "routes: [{name: a, match: {type: x}, handler: log}, {name: b, match: {type: '*'}, handler: log}]";
        assert_eq!(look_again(second), Verdict::Routed { route: RouteId(1), lane });
        let none = "routes: [{name: a, match: {type: x}, handler: log}]";
        assert_eq!(look_again(none), Verdict::Unrecognised);
    }

    #[test]
    fn only_a_first_delivery_is_deduplicated() {
        let source = look("t", None, Some(b"v"), &attributes("git.commit", &[]));
        assert_eq!(source.identity, Some(Identity::new("/s", "1", 0)));
        assert_eq!(look("t.retry.5s", None, Some(b"v"), &attributes("git.commit", &[])).identity, None);
        for again in [hop::REDRIVE, hop::RUN] {
            let again = attributes("git.commit", &[(again, "1")]);
            assert_eq!(look("t", None, Some(b"v"), &again).identity, None);
        }
    }

    #[test]
    fn a_retry_stands_where_it_first_stood() {
        let origin = [(hop::ORIGIN_TOPIC, "t"), (hop::ORIGIN_PARTITION, "2"), (hop::ORIGIN_OFFSET, "77")];
        let headers = attributes("git.commit", &origin);
        let place = |topic| {
            let looked = look(topic, None, Some(b"v"), &headers);
            let place = looked.payload.place();
            (place.topic.to_owned(), place.partition, place.offset)
        };
        assert_eq!(place("t.retry.5s"), ("t".to_owned(), 2, 77));
        assert_eq!(place("t"), ("t".to_owned(), 0, 5), "on a source topic the headers are foreign");
    }

    #[test]
    fn a_retry_carries_on_where_it_left_off() {
        let far = i64::MAX.to_string();
        let headers = attributes("git.commit", &[(hop::ATTEMPT, "3"), (hop::DONE, "noop"), (hop::NOT_BEFORE, &far)]);
        let retried = look("t.retry.5s", None, Some(b"v"), &headers);
        assert_eq!((retried.attempts, retried.done), (3, 0b10));
        let wait = retried.not_before.unwrap() - crate::engine::Time(0);
        assert!(wait <= std::time::Duration::from_secs(6), "{wait:?}");
        let forged = look("t", None, Some(b"v"), &headers);
        assert_eq!((forged.attempts, forged.done, forged.not_before), (0, 0, None));
        let spoilt = look("t.retry.5s", None, Some(b"v"), &attributes("git.commit", &[(hop::ATTEMPT, "x")]));
        assert_eq!(spoilt.verdict, Verdict::Poison);
        assert!(spoilt.payload.poison().is_some_and(|(_, why)| why.contains(hop::ATTEMPT)));
    }
}
