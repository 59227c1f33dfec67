//! How long a replica's end is felt: from the moment at which it is gone until whoever reads committed data has, of every
//! partition, an outcome of an event that was sent after that.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::fleet::Fleet;
use crate::producer::Producer;
use crate::progress::Progress;
use crate::reading::{client, source_ends};
use crate::run::Options;
use crate::servers::Servers;
use crate::wire::Schemas;
use crate::world::{AUDIT_TOPIC, GROUP, OUTCOME_RECORD, RECEIPT_RECORD, STEP_RECORD, TOPIC, World};

/// Between two looks; what is measured is not known more exactly.
const LOOK: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// An assignment without partitions: its version, no topics, no user data.
const EMPTY_BYTES: usize = 10;
/// Far more than any end may be felt.
const LIMIT: Duration = Duration::from_secs(90);

/// How a replica ends, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`, and it is started again at once, with its slot.
    KilledAndBack,
    /// `kill -9`; the others take over.
    KilledForGood,
    /// SIGTERM; the others take over.
    Terminated,
}

/// A group under load, of which replicas are ended one after another.
pub struct Bench {
    servers: Servers,
    fleet: Fleet,
    progress: Arc<Progress>,
    producer: Producer,
    group: BaseConsumer,
    replicas: usize,
}

impl Bench {
    /// Starts servers, replicas and a producer, and waits until every partition gets on.
    ///
    /// # Errors
    /// Something of it does not work.
    pub fn start(options: &Options) -> Result<Self> {
        let servers = Servers::start(1, 0)?;
        let world = World {
            binary: options.binary.clone(),
            directory: options.directory.clone(),
            kafka: servers.kafka.bootstrap_servers(),
            registry: servers.registry.url(),
            postgres: servers.postgres.url(),
            delivery: options.delivery,
            replication: 1,
            // A key that halts gets on only when somebody acts.
            room: true,
            reports: true,
            settings: options.settings.clone(),
        };
        world.lay_out()?;
        let mut schemas = Schemas::new(&world.registry);
        let step = schemas.latest(TOPIC, STEP_RECORD)?;
        for record in [OUTCOME_RECORD, RECEIPT_RECORD] {
            schemas.latest(AUDIT_TOPIC, record)?;
        }
        let mut fleet = Fleet::new(world.clone(), &servers, options.replicas);
        for _ in 0..options.replicas {
            fleet.start()?;
        }
        let progress = Arc::new(Progress::start(&world.kafka, schemas.clone())?);
        let producer = Producer::start(&world.kafka, options.seed, options.events_per_second, schemas, step)?;
        let group = client(&world.kafka, "chaos-group", "read_committed")?;
        let mut bench = Self { servers, fleet, progress, producer, group, replicas: options.replicas };
        bench.settle()?;
        Ok(bench)
    }

    /// Ends the replica that has most of the source topic, and says how long that was felt. All replicas are there again
    /// afterwards, with partitions.
    ///
    /// # Errors
    /// It was felt for longer than anything may, or something else does not work.
    pub fn end(&mut self, how: End) -> Result<Duration> {
        let slot = self.busiest()?;
        match how {
            End::KilledAndBack | End::KilledForGood => self.fleet.kill(slot)?,
            End::Terminated => self.fleet.terminate(slot)?,
        }
        let began = Instant::now();
        let ends = source_ends(&self.servers.kafka.bootstrap_servers())?;
        if how == End::KilledAndBack {
            self.fleet.start_at(slot)?;
        }
        self.until("every partition gets on", |bench| bench.progress.is_beyond(&ends))?;
        let felt = began.elapsed();
        self.fleet.start_at(slot)?;
        self.settle()?;
        Ok(felt)
    }

    /// Stops replicas and producer.
    ///
    /// # Errors
    /// One does not end well.
    pub fn finish(mut self) -> Result<()> {
        self.producer.finish()?;
        self.fleet.stop()?;
        ensure!(self.fleet.complaints.is_empty(), "{}", self.fleet.complaints.join("\n"));
        Ok(())
    }

    /// Until every replica has partitions and all of them get on.
    fn settle(&mut self) -> Result<()> {
        let replicas = self.replicas;
        self.until("every replica has partitions", |bench| bench.members_at_work() == replicas)?;
        let ends = source_ends(&self.servers.kafka.bootstrap_servers())?;
        self.until("every partition gets on", |bench| bench.progress.is_beyond(&ends))
    }

    /// Members of a stable group that have partitions; 0 while it rebalances, or its coordinator does not answer.
    fn members_at_work(&self) -> usize {
        let Ok(list) = self.group.fetch_group_list(Some(GROUP), ANSWER_LIMIT) else { return 0 };
        let Some(group) = list.groups().iter().find(|group| group.state() == "Stable") else { return 0 };
        group.members().iter().filter(|member| member.assignment().is_some_and(|a| a.len() > EMPTY_BYTES)).count()
    }

    /// The slot of the replica that has most partitions of the source topic.
    fn busiest(&self) -> Result<usize> {
        let list = self.group.fetch_group_list(Some(GROUP), ANSWER_LIMIT).context("look at the group")?;
        let members = list.groups().iter().flat_map(|group| group.members());
        let shares = members.filter_map(|member| {
            let slot = member.client_id().strip_prefix("coafi-")?.parse::<usize>().ok()?;
            Some((partitions_of(member.assignment()?, TOPIC), slot))
        });
        let (share, slot) = shares.max().context("a member with a slot")?;
        ensure!(share > 0, "nobody has {TOPIC}");
        Ok(slot)
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !holds(self) {
            self.fleet.look_after()?;
            if Instant::now() >= deadline {
                bail!("{what}: not within {} s; {}", LIMIT.as_secs(), self.fleet.complaints.join("\n"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// How many partitions of a topic an assignment has, as Kafka's consumer protocol writes it: version, then for each topic its
/// name and the list of its partitions, all big-endian, each list and name after its length.
fn partitions_of(assignment: &[u8], topic: &str) -> i32 {
    let length = i16::try_from(topic.len()).unwrap_or(i16::MAX);
    let named = [&length.to_be_bytes()[..], topic.as_bytes()].concat();
    let at = assignment.windows(named.len()).position(|window| window == named).map(|at| at + named.len());
    at.and_then(|at| assignment.get(at..at + 4)?.try_into().ok()).map_or(0, i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_says_how_much_of_a_topic_it_has() {
        let topic = |name: &str, partitions: &[i32]| {
            let length = i16::try_from(name.len()).unwrap().to_be_bytes();
            let count = i32::try_from(partitions.len()).unwrap().to_be_bytes();
            let partitions = partitions.iter().flat_map(|partition| partition.to_be_bytes()).collect::<Vec<u8>>();
            [&length[..], name.as_bytes(), &count, &partitions].concat()
        };
        let assignment = [&[0, 1, 0, 0, 0, 2][..], &topic("a.retry.1s", &[0]), &topic("a", &[0, 3]), &[0; 4]].concat();
        assert_eq!(["a", "a.retry.1s", "b"].map(|name| partitions_of(&assignment, name)), [2, 1, 0]);
    }
}
