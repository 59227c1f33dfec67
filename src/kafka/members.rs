//! Who is in a consumer group and has which partitions, as its coordinator says.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What the `client.id` begins with that names a replica by its slot.
pub(super) const NAMED_BY_SLOT: &str = "coafi-";

/// A group as Kafka knows it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Kafka's word: `Stable`, `Empty`, `Dead`, `PreparingRebalance` or `CompletingRebalance`; empty if nobody says.
    pub state: String,
    pub members: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its own for as long as it is a member; begins with its `group.instance.id`, or with the client id.
    pub id: String,
    /// [`NAMED_BY_SLOT`] and the slot, unless the configuration says otherwise.
    pub client_id: String,
    /// Its address as the broker sees it.
    pub host: String,
    /// By topic. None while the group is rebalancing.
    pub partitions: BTreeMap<String, Vec<i32>>,
}

impl Member {
    /// Clients are named by their slot, unless the configuration names them.
    #[must_use]
    pub fn slot(&self) -> &str {
        self.client_id.strip_prefix(NAMED_BY_SLOT).unwrap_or(&self.client_id)
    }

    /// Whether the client id has the form of those that name a slot.
    #[must_use]
    pub fn is_named_by_slot(&self) -> bool {
        self.client_id.starts_with(NAMED_BY_SLOT)
    }
}

impl Membership {
    pub(super) fn ask<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        group: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let list = match consumer.fetch_group_list(Some(group), timeout) {
            // The cluster of `coafi dev`: what replicas publish of themselves says as much.
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::UnsupportedFeature)) => return Ok(Self::default()),
            answer => answer?,
        };
        let Some(found) = list.groups().iter().find(|found| found.name() == group) else { return Ok(Self::default()) };
        let member = |member: &rdkafka::groups::GroupMemberInfo| Member {
            id: member.id().to_owned(),
            client_id: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
            partitions: member.assignment().and_then(assignment).unwrap_or_default(),
        };
        Ok(Self { state: found.state().to_owned(), members: found.members().iter().map(member).collect() })
    }

    /// The member that has this partition.
    #[must_use]
    pub fn owner(&self, topic: &str, partition: i32) -> Option<&Member> {
        let has = |member: &&Member| member.partitions.get(topic).is_some_and(|numbers| numbers.contains(&partition));
        self.members.iter().find(has)
    }
}

/// Kafka's `ConsumerProtocolAssignment`: version, then topics with their partitions. `None` if it is something else.
fn assignment(bytes: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    let mut at = bytes;
    let _version = i16::from_be_bytes(take(&mut at)?);
    let topics = i32::from_be_bytes(take(&mut at)?);
    let mut partitions = BTreeMap::new();
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut at)?)).ok()?;
        let (name, rest) = at.split_at_checked(length)?;
        at = rest;
        let count = i32::from_be_bytes(take(&mut at)?);
        let numbers = (0..count).map(|_| Some(i32::from_be_bytes(take(&mut at)?))).collect::<Option<Vec<i32>>>()?;
        partitions.insert(String::from_utf8(name.to_vec()).ok()?, numbers);
    }
    Some(partitions)
}

fn take<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = at.split_first_chunk::<N>()?;
    *at = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_kafka_writes_it() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("a", &[0, 7][..]), ("b.c", &[])] {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
            partitions.iter().for_each(|partition: &i32| bytes.extend(partition.to_be_bytes()));
        }
        bytes.extend([255, 255, 255, 255]);
        let expected = BTreeMap::from([("a".to_owned(), vec![0, 7]), ("b.c".to_owned(), vec![])]);
        assert_eq!(assignment(&bytes), Some(expected));
        for end in 0..bytes.len() - 5 {
            assert_eq!(assignment(&bytes[..end]), None, "cut at {end}");
        }
    }
}
