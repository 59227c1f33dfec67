//! The partitions' ends: for the lag, and so that positions move over what no record marks.
//!
//! Transaction markers and compaction leave offsets without records. The next record moves the position over them; behind
//! the last record only a proof does that (see `lookup`), asked for when a partition has reached its end and stays quiet.

use std::time::Duration;

use tracing::info;

use super::Application;
use super::driver::Driver;
use super::lookup::{Found, Question};
use crate::engine::Time;
use crate::event::NextOffset;

/// How long a partition must be quiet after its end was reached before a proof is asked for.
const QUIET: Duration = Duration::from_millis(100);
/// When a proof that failed is asked for again.
const PROOF_AGAIN: Duration = Duration::from_secs(1);

impl<A: Application> Driver<A> {
    /// The end-of-partition event. It does not say of which topic, so every partition of that number is meant.
    pub(super) fn reached_end(&mut self, partition: i32) {
        let due = self.clock.now() + QUIET;
        for candidate in self.partitions.iter_mut().filter(|p| p.source.partition == partition) {
            if let Some(owned) = candidate.owned.as_mut().filter(|owned| !owned.draining) {
                owned.proof.is_due_at(due);
                wake_at(&mut self.state.proof_due, due);
            }
        }
    }

    pub(super) fn ask_for_proofs(&mut self, now: Time) {
        let mut next: Option<Time> = None;
        for partition in self.partitions.iter_mut() {
            let Some(owned) = partition.owned.as_mut().filter(|owned| !owned.draining) else { continue };
            if owned.proof.ask(now) {
                let (source, live) = (partition.source.clone(), owned.live());
                let (partition, epoch, from) = (partition.id, owned.epoch, owned.polled.max(owned.proven_end));
                // If the thread is gone it has said why, and the replica ends in this turn.
                let _ = self.questions.send(Question::ProveEnd { partition, epoch, source, from, live });
            } else if let Some(due) = owned.proof.wake() {
                wake_at(&mut next, due);
            }
        }
        self.state.proof_due = next;
    }

    pub(super) fn ask_for_ends(&mut self) {
        if self.state.ends_asked {
            return;
        }
        let partitions: Vec<_> = self
            .partitions
            .iter()
            .filter(|partition| partition.owned.is_some())
            .map(|partition| (partition.id, partition.source.clone()))
            .collect();
        self.state.ends_asked = self.questions.send(Question::Ends { partitions }).is_ok();
    }

    /// An answer of the lookup thread.
    pub(super) fn found(&mut self, found: Found) {
        let now = self.clock.now();
        match found {
            Found::Located { token, partitions } => {
                if let Err(error) = self.located(token, partitions) {
                    self.state.failed.get_or_insert(error);
                }
            }
            Found::Ends(ends) => {
                self.state.ends_asked = false;
                let Some(ends) = ends else { return };
                if self.status.brokers_answer() {
                    info!(group = self.config.group, "brokers answer again");
                }
                // While nothing is polled there are records before the end, and nothing to prove.
                let polling = self.engine.has_room() && !self.state.held;
                for (id, end) in ends {
                    let Some(owned) = &mut self.partitions.by_id(id).owned else { continue };
                    owned.end = Some(end);
                    // Nobody says when a stretch without records grows: an aborted transaction raises no event.
                    if polling && end > owned.polled.max(owned.proven_end) && owned.proof.is_idle() {
                        owned.proof.is_due_at(now + QUIET);
                        wake_at(&mut self.state.proof_due, now + QUIET);
                    }
                }
            }
            Found::End { partition, epoch, from, end } => {
                let Some(current) = self.partitions.current(partition, epoch) else { return };
                let Some(owned) = current.owned.as_mut() else { return };
                if let Some(due) = owned.proof.answered() {
                    wake_at(&mut self.state.proof_due, due);
                }
                // Records that came meanwhile have moved the position, and are followed by another end.
                if owned.polled.max(owned.proven_end) != from {
                    return;
                }
                match end {
                    Some(end) => {
                        owned.proven_end = end;
                        owned.end = owned.end.max(Some(end));
                        self.engine.reached_end(now, partition, epoch, NextOffset(end.0));
                    }
                    None => {
                        owned.proof.is_due_at(now + PROOF_AGAIN);
                        wake_at(&mut self.state.proof_due, now + PROOF_AGAIN);
                    }
                }
            }
        }
    }
}

fn wake_at(next: &mut Option<Time>, due: Time) {
    *next = Some(next.map_or(due, |other| other.min(due)));
}
