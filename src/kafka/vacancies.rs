//! Partitions that nobody has although the group is at rest, and a member that joins anew for them.
//!
//! A cooperative rebalance takes two rounds: in the first, who has too many partitions gives some up, and by joining again it
//! begins the second, in which others get them. A static member that dies in between and comes back under its
//! `group.instance.id` is given the assignment that was stored for it, in which those partitions are missing already, and no
//! rebalance: it has nothing to give up, so the second round never comes, and the partitions stand still until the group
//! rebalances for another reason (seen in chaos: 385 s). No member sees that by itself, so the coordinator is asked.
//!
//! | the group | what follows |
//! |---|---|
//! | rebalances | nothing: it is on its way |
//! | is at rest, every partition has a member | nothing |
//! | is at rest, a topic was grown a moment ago | nothing: its members are about to see that for themselves |
//! | is at rest, one has none, at two looks in a row | of its members, the one with the fewest partitions leaves and joins |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tracing::{debug, info};

use super::config::{Config, METADATA_REFRESH};
use super::inbox::Input;
use super::members::Membership;
use super::seat::Seat;
use super::stop::Stop;

/// Between two looks. A rebalance that is on its way shows in one of two, or in other members.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// One question to the coordinator, or about the topics' partitions.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// After a topic has grown: its members see that at their next refresh, and rebalance.
const GROWTH_IS_SEEN_WITHIN: Duration = METADATA_REFRESH.saturating_mul(2);
/// Kafka's word for a group at rest.
const AT_REST: &str = "Stable";
/// A member's id is its `group.instance.id`, or `client.id`, and this many characters: `-` and a UUID.
const SUFFIX: usize = 37;

pub(super) struct Vacancies<P, R> {
    pub(super) config: Arc<Config>,
    pub(super) seat: Seat,
    pub(super) answers: Sender<Input<P, R>>,
    pub(super) stop: Stop,
}

impl<P, R> Vacancies<P, R> {
    pub(super) fn run(self) {
        let mut before = Membership::default();
        let mut growth = Growth::default();
        while !self.stop.wait(LOOK_EVERY) {
            let found = match self.look() {
                Ok(found) => found,
                Err(error) => {
                    debug!("who has which partition is not known: {error}");
                    continue;
                }
            };
            let (membership, topics) = found;
            let vacant = vacant(&membership, &topics);
            let seen = growth.is_seen(Instant::now(), topics);
            if seen && !vacant.is_empty() && membership == before && self.is_mine(&membership) {
                let (group, partitions) = (&self.config.group, shown(&vacant));
                info!(
                    group,
                    partitions, "nobody has these partitions, this replica leaves the group and joins it again"
                );
                if self.answers.send(Input::JoinAnew).is_err() {
                    return;
                }
            }
            before = membership;
        }
    }

    fn look(&self) -> KafkaResult<(Membership, Vec<(String, i32)>)> {
        let consumer = self.seat.consumer();
        let membership = Membership::ask(&*consumer, &self.config.group, REQUEST_TIMEOUT)?;
        let mut topics = Vec::with_capacity(self.config.topics.len());
        for topic in &self.config.topics {
            let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
            let count = found.map_or(0, |found| found.partitions().len());
            topics.push((topic.clone(), i32::try_from(count).unwrap_or(i32::MAX)));
        }
        Ok((membership, topics))
    }

    fn is_mine(&self, membership: &Membership) -> bool {
        let name = self.config.instance_id.clone().unwrap_or_else(|| self.config.client_id());
        chosen(membership).is_some_and(|id| is_of(id, &name))
    }
}

/// Which topics have how many partitions, and since when.
#[derive(Debug, Default)]
struct Growth {
    counts: BTreeMap<String, i32>,
    since: Option<Instant>,
}

impl Growth {
    /// Whether the members have had the time to see what there is now.
    fn is_seen(&mut self, now: Instant, topics: Vec<(String, i32)>) -> bool {
        let counts = topics.into_iter().collect();
        if self.counts != counts {
            self.counts = counts;
            self.since = Some(now);
        }
        self.since.is_none_or(|since| now - since >= GROWTH_IS_SEEN_WITHIN)
    }
}

/// Of a group at rest, the partitions of these topics, by their number, that no member has.
fn vacant(membership: &Membership, topics: &[(String, i32)]) -> BTreeSet<(String, i32)> {
    if membership.state != AT_REST {
        return BTreeSet::new();
    }
    let all = topics.iter().flat_map(|(topic, count)| (0..*count).map(move |number| (topic, number)));
    let without_owner = all.filter(|(topic, number)| membership.owner(topic, *number).is_none());
    without_owner.map(|(topic, number)| (topic.clone(), number)).collect()
}

/// The member that is to join anew: every one comes to the same answer.
fn chosen(membership: &Membership) -> Option<&str> {
    let partitions = |member: &super::Member| member.partitions.values().map(Vec::len).sum::<usize>();
    membership.members.iter().min_by_key(|member| (partitions(member), &member.id)).map(|member| &*member.id)
}

fn is_of(id: &str, name: &str) -> bool {
    id.strip_prefix(name).is_some_and(|rest| rest.len() == SUFFIX && rest.starts_with('-'))
}

fn shown(partitions: &BTreeSet<(String, i32)>) -> String {
    partitions.iter().map(|(topic, number)| format!("{topic}[{number}]")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;

    const UUID: &str = "0f32d4d8-28f4-47e5-8b7f-9a801cbb9170";

    fn group(state: &str, members: &[(&str, &[i32])]) -> Membership {
        let member = |(name, partitions): &(&str, &[i32])| Member {
            id: format!("{name}-{UUID}"),
            partitions: [("t".to_owned(), partitions.to_vec())].into(),
            ..Member::default()
        };
        Membership { state: state.to_owned(), members: members.iter().map(member).collect() }
    }

    #[test]
    fn only_a_group_at_rest_has_vacancies() {
        let check = |state, members: &[(&str, &[i32])], expected: &[i32]| {
            let found = vacant(&group(state, members), &[("t".to_owned(), 4)]);
            let expected: BTreeSet<_> = expected.iter().map(|number| ("t".to_owned(), *number)).collect();
            assert_eq!(found, expected, "{state} {members:?}");
        };
        check(AT_REST, &[("a", &[0, 1]), ("b", &[2, 3])], &[]);
        check(AT_REST, &[("a", &[0, 1]), ("b", &[])], &[2, 3]);
        check("PreparingRebalance", &[("a", &[]), ("b", &[])], &[]);
        check("CompletingRebalance", &[("a", &[]), ("b", &[])], &[]);
    }

    #[test]
    fn partitions_that_a_topic_just_gained_are_left_to_their_members() {
        let (mut growth, start) = (Growth { counts: [("t".to_owned(), 4)].into(), since: None }, Instant::now());
        let mut is_seen = |after: Duration, count| growth.is_seen(start + after, vec![("t".to_owned(), count)]);
        assert!(is_seen(Duration::ZERO, 4));
        assert!(!is_seen(LOOK_EVERY, 6));
        assert!(!is_seen(LOOK_EVERY * 2, 6));
        assert!(is_seen(LOOK_EVERY + GROWTH_IS_SEEN_WITHIN, 6));
    }

    #[test]
    fn one_member_joins_anew_and_it_is_the_one_with_the_fewest_partitions() {
        let check = |members: &[(&str, &[i32])], expected: Option<&str>| {
            let found = group(AT_REST, members);
            let chosen = chosen(&found);
            for (name, _) in members {
                assert_eq!(chosen.is_some_and(|id| is_of(id, name)), expected == Some(name), "{name} of {members:?}");
            }
        };
        check(&[("a", &[0, 1]), ("b", &[])], Some("b"));
        check(&[("b", &[0]), ("a", &[1])], Some("a"));
        check(&[], None);
        assert!(!is_of(&format!("slot-1-{UUID}"), "slot"), "another's name begins like this one's");
    }
}
