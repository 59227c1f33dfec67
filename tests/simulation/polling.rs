//! How a process polls: batches of one partition at a time, their receipts, and the end of a partition.

use coafi_core::engine::{Arrival, Epoch, PartitionId, Verdict};
use coafi_core::event::{NextOffset, Offset};

use crate::broker::Message;
use crate::clock::Clock;
use crate::handlers::Payload;
use crate::ledger::Receipt;
use crate::replica::{Input, Process};
use crate::routing::Routing;
use crate::world::World;

/// What one poll has brought of one partition.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    /// The position before and after it, gaps included: what its receipt covers.
    pub(crate) from: NextOffset,
    pub(crate) to: NextOffset,
    pub(crate) messages: Vec<(Offset, Message)>,
    pub(crate) at_end: bool,
}

impl Process {
    /// The poll loop: one partition at a time in turn, nothing while the engine has no room.
    pub(crate) fn poll(&mut self, world: &mut World) {
        self.idle_polls += 1;
        if !self.in_transit && self.engine.has_room() && !self.shutting_down {
            let count = self.held.len();
            for step in 0..count {
                let index = (self.poll_cursor + step) % count;
                let limit = world.random.between(1, world.profile.poll_batch as u64) as usize;
                if self.poll_partition(world, index, limit) {
                    self.poll_cursor = index + 1;
                    self.idle_polls = 0;
                    break;
                }
            }
        }
        let delay = world.random.millis(1, 3) * (1 << self.idle_polls.min(6));
        self.later(world, delay, Input::Poll);
    }

    fn poll_partition(&mut self, world: &mut World, index: usize, limit: usize) -> bool {
        let (partition, held) = self.held.iter_mut().nth(index).expect("below the count");
        if held.paused || held.revoked_at.is_some() {
            return false;
        }
        let from = held.fetch;
        if from < world.broker.log_start(*partition) {
            let input = Input::OutOfRange { partition: *partition, epoch: held.epoch };
            self.soon(world, input);
            return true;
        }
        let fetched = world.broker.fetch(*partition, from, limit);
        let news = fetched.next > from || (fetched.at_end && held.reported_end != Some(fetched.next));
        if !news {
            return false;
        }
        held.fetch = fetched.next;
        held.reported_end = fetched.at_end.then_some(fetched.next);
        let (partition, epoch, to, at_end) = (*partition, held.epoch, fetched.next, fetched.at_end);
        let batch = Batch { partition, epoch, from, to, messages: fetched.messages, at_end };
        self.in_transit = true;
        let delay = world.random.millis(0, 2);
        self.later(world, delay, Input::Records(batch));
        true
    }

    pub(crate) fn records(&mut self, world: &mut World, batch: Batch) {
        let Batch { partition, epoch, from, to, messages, at_end } = batch;
        world.note(|| {
            let offsets: Vec<i64> = messages.iter().map(|(offset, _)| offset.0).collect();
            format!("p{} polled    {}:{offsets:?} end {at_end} epoch {}", self.id, partition.0, epoch.0)
        });
        self.in_transit = false;
        let now = self.clock.engine(world.now);
        if !messages.is_empty() {
            for (offset, message) in &messages {
                let due = message.not_before.map(|due| self.clock.on_engine_clock(due));
                self.custody.delivered(partition, epoch, *offset, message.bytes, due);
            }
            let (clock, version) = (self.clock, self.version);
            let slower = |message: &Message| {
                message.not_before.is_some_and(|due| clock.on_engine_clock(due) < clock.engine(due))
            };
            if messages.iter().any(|(_, message)| slower(message)) {
                world.sighted("a due time was read by a slower clock");
            }
            let routing = world.truth.routings.version(version);
            let arrivals = messages.into_iter().map(|message| arrival(clock, version, routing, message)).collect();
            self.engine.records(now, partition, epoch, arrivals);
            self.send_receipt(world, partition, epoch, from, to);
        }
        if at_end {
            self.engine.reached_end(now, partition, epoch, to);
        }
    }

    /// Receipts of one partition are acknowledged in order.
    fn send_receipt(
        &mut self,
        world: &mut World,
        partition: PartitionId,
        epoch: Epoch,
        from: NextOffset,
        to: NextOffset,
    ) {
        let mut at = world.now + world.random.millis(0, 8) + world.receipt_delay;
        if let Some(held) = self.held.get_mut(&partition).filter(|held| held.epoch == epoch) {
            at = at.max(held.receipts_at);
            held.receipts_at = at;
        }
        self.later(world, at - world.now, Input::Receipt(Receipt { partition, epoch, from, to }));
    }
}

fn arrival(clock: Clock, version: usize, routing: &Routing, (offset, message): (Offset, Message)) -> Arrival<Payload> {
    let payload = Payload { version, ..message.payload };
    let verdict = match message.verdict {
        Verdict::Routed { .. } => routing.verdict(&payload),
        other @ (Verdict::Poison | Verdict::Unrecognised) => other,
    };
    Arrival {
        offset,
        bytes: message.bytes,
        verdict,
        identity: message.identity,
        tenant: message.payload.key % 3,
        attempts: message.attempts,
        done: routing.positions(payload.kind, message.done),
        not_before: message.not_before.map(|due| clock.on_engine_clock(due)),
        payload,
    }
}
