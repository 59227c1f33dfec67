//! Carries the engine's effects out, in their order.

use std::time::Duration;

use tracing::error;

use super::dedup::Rebuild;
use super::driver::{Committing, Driver};
use super::inbox::Input;
use super::seat::Generation;
use super::writer::{Command, OffsetCommit};
use super::{Application, DriverError};
use crate::engine::{Effect, Epoch, EventsLost, Incident, Job, PartitionCommit, PartitionId, TransactionId};
use crate::event::NextOffset;
use crate::store::Fence;

/// A commit takes milliseconds in good times.
const ASK_AFTER: Duration = Duration::from_secs(1);

impl<A: Application> Driver<A> {
    /// Until the engine has nothing more to do; true if there was anything.
    pub(super) fn carry_out(&mut self) -> Result<bool, DriverError> {
        let mut any = false;
        self.say_what_is_down();
        while let Some(effect) = self.engine.poll_effect() {
            any = true;
            if !matches!(effect, Effect::Stage(_)) {
                self.flush_staged();
            }
            match effect {
                Effect::Dispatch(run) => self.dispatch(run),
                Effect::Recall { partition, epoch } => self.application.recall(partition, epoch),
                Effect::Cancel { partition, epoch } => self.application.cancel(partition, epoch),
                Effect::Stage(output) => self.state.staged.push(output),
                Effect::Commit { transaction, offsets, lost } => self.commit(transaction, offsets, lost),
                Effect::Abort { transaction } => self.send(Command::Abort { transaction }),
                Effect::Pause(partition) => self.pause(partition, true),
                Effect::Resume(partition) => self.pause(partition, false),
                Effect::Release(partitions) => self.release(&partitions)?,
                Effect::RebuildDedup { partition, epoch, position, window } => {
                    self.rebuild(partition, epoch, position, window);
                }
                Effect::Probe(dependency) => {
                    let answers = self.answers.clone();
                    let asked = dependency.clone();
                    let answer = move |up| {
                        // After the replica's end nobody wants to know.
                        let _ = answers.send(Input::Probed { dependency: asked, up });
                    };
                    self.application.probe(&dependency, Box::new(answer));
                }
                Effect::Escalate(incident) => self.escalate(&incident),
            }
        }
        self.flush_staged();
        Ok(any)
    }

    fn say_what_is_down(&mut self) {
        if !self.engine.open_circuits().eq(&self.state.said_down) {
            self.state.said_down = self.engine.open_circuits().cloned().collect();
            self.application.down(self.state.said_down.clone());
        }
    }

    fn flush_staged(&mut self) {
        if !self.state.staged.is_empty() {
            let outputs = std::mem::take(&mut self.state.staged);
            self.send(Command::Stage(outputs));
        }
    }

    fn send(&self, command: Command<A::Payload, A::Report>) {
        // If the thread is gone it has said why, and the replica ends in this turn.
        let _ = self.writer.send(command);
    }

    fn dispatch(&mut self, run: Vec<Job<A::Payload>>) {
        let Some(first) = run.first() else { return };
        let (partition, epoch) = (first.ticket.partition, first.ticket.epoch);
        let fence: Option<&Fence> = self
            .partitions
            .current(partition, epoch)
            .and_then(|partition| partition.owned.as_ref())
            .and_then(|owned| owned.fence.as_ref());
        self.application.submit(run, fence);
    }

    fn commit(&mut self, transaction: TransactionId, offsets: Vec<PartitionCommit>, lost: Vec<EventsLost>) {
        let generation = Generation::of(&self.consumer, self.state.member.as_deref());
        if generation.is_none() && self.is_forgotten() {
            let forgotten = self.forgotten();
            self.state.failed.get_or_insert(forgotten);
        }
        let commits = offsets
            .iter()
            .map(|commit| OffsetCommit {
                source: self.partitions.by_id(commit.partition).source.clone(),
                position: commit.position,
                metadata: commit.metadata.clone(),
            })
            .collect();
        let ask_at = Some(self.clock.now() + ASK_AFTER);
        self.state.committing = Some(Committing { transaction, offsets, ask_at });
        self.send(Command::Commit { transaction, offsets: commits, lost, generation });
    }

    fn pause(&mut self, id: PartitionId, paused: bool) {
        let held = self.state.held;
        let partition = self.partitions.by_id(id);
        let Some(owned) = partition.owned.as_mut() else { return };
        owned.paused_by_engine = paused;
        if held || owned.draining {
            return;
        }
        let list = self.list(&[id.0 as usize]);
        self.set_paused(&list, paused);
    }

    fn rebuild(&mut self, id: PartitionId, epoch: Epoch, position: NextOffset, window: u32) {
        let Some(partition) = self.partitions.current(id, epoch) else { return };
        let Some(owned) = &partition.owned else { return };
        let (source, live) = (partition.source.clone(), owned.live());
        let request = Rebuild { partition: id, epoch, source, position, window, live };
        // If the thread is gone it has said why, and the replica ends in this turn.
        let _ = self.windows.send(request);
    }

    fn escalate(&mut self, incident: &Incident) {
        match incident {
            Incident::Outage { dependency, lasted } => {
                error!(%dependency, ?lasted, "dependency is down; what needs it waits");
            }
            Incident::Halted { partition, offset, class } => {
                let source = &self.partitions.by_id(*partition).source;
                error!(topic = %source.topic, partition = source.partition, %offset, %class, "halted by its route's policy");
            }
            Incident::EventsLost { partition, from, to } => {
                let source = &self.partitions.by_id(*partition).source;
                error!(topic = %source.topic, partition = source.partition, offset = %from, %to, "retention has passed the committed position: these offsets are gone");
            }
            Incident::Crash { partition, offset } => {
                let source = &self.partitions.by_id(*partition).source;
                error!(topic = %source.topic, partition = source.partition, %offset, "was running in several processes that died");
            }
        }
        self.status.update(|status| status.incidents.count(incident));
    }
}
