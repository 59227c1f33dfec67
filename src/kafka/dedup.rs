//! Rebuilds a partition's deduplication window after its assignment, beside the poll thread.
//!
//! Reads the last offsets before the position with a consumer of its own and keeps their identities. What is asked for an
//! ownership that has ended meanwhile is dropped.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tracing::warn;

use super::context::Reporter;
use super::inbox::Input;
use super::lookup::list_of;
use super::partitions::Live;
use super::record::from_message;
use super::side::SideReader;
use super::stop::Stop;
use super::{Application, DriverError};
use crate::engine::{Epoch, PartitionId};
use crate::event::{Identity, NextOffset, Offset, Record, TopicPartition};

/// How long lanes wait for their window. What is missing then is a duplicate that may be handled twice, as without a window.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(30);
/// A reader without a record for so long is replaced.
const SILENT_AFTER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

pub(super) struct Rebuild {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) source: TopicPartition,
    pub(super) position: NextOffset,
    pub(super) window: u32,
    pub(super) live: Live,
}

pub(super) struct Windows<A: Application> {
    pub(super) application: Arc<A>,
    pub(super) side: SideReader,
    pub(super) answers: Sender<Input<A::Payload, A::Report>>,
    pub(super) stop: Stop,
}

impl<A: Application> Windows<A> {
    pub(super) fn run(mut self, requests: &Receiver<Rebuild>) {
        if let Err(error) = self.serve(requests) {
            // Nobody listens only if the poll thread has ended.
            let _ = self.answers.send(Input::Failed(error));
        }
    }

    fn serve(&mut self, requests: &Receiver<Rebuild>) -> Result<(), DriverError> {
        while let Ok(request) = requests.recv() {
            if request.live.is_over() || self.stop.is_set() {
                continue;
            }
            let mut seen = Vec::new();
            let from = request.position.0.saturating_sub(i64::from(request.window)).max(0);
            if from < request.position.0 {
                seen = self.window(&request, Offset(from))?;
            }
            let Rebuild { partition, epoch, .. } = request;
            if self.answers.send(Input::DedupRebuilt { partition, epoch, seen }).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads until it is complete, with another reader where one falls silent.
    fn window(&mut self, request: &Rebuild, from: Offset) -> Result<Vec<(Identity, Offset)>, DriverError> {
        let deadline = Instant::now() + REBUILD_TIMEOUT;
        let Self { application, side, stop, .. } = self;
        let over = || request.live.is_over() || stop.is_set();
        loop {
            let (seen, complete) =
                read(side.reader()?, request, from, deadline, &over, |record| application.identity(&record));
            if complete || over() {
                return Ok(seen);
            }
            side.replace();
            if Instant::now() >= deadline {
                let (partition, found) = (&request.source, seen.len());
                warn!(%partition, found, "deduplication window is incomplete: no time left");
                return Ok(seen);
            }
        }
    }
}

/// What was found, and whether there is no more to be had.
fn read(
    reader: &BaseConsumer<Reporter>,
    request: &Rebuild,
    from: Offset,
    deadline: Instant,
    over: &impl Fn() -> bool,
    identity: impl Fn(Record) -> Option<Identity>,
) -> (Vec<(Identity, Offset)>, bool) {
    let mut seen = Vec::new();
    let start = list_of(std::slice::from_ref(&request.source), KafkaOffset::Offset(from.0));
    let (mut complete, mut silent_at) = (false, Instant::now() + SILENT_AFTER);
    if let Err(error) = reader.assign(&start) {
        warn!(partition = %request.source, "deduplication window cannot be read: {error}");
        return (seen, true);
    }
    while !complete && Instant::now() < deadline.min(silent_at) && !over() {
        match reader.poll(POLL) {
            Some(Ok(message)) if message.offset() < request.position.0 => {
                silent_at = Instant::now() + SILENT_AFTER;
                let (record, _) = from_message(&message, Arc::clone(&request.source.topic));
                let offset = record.offset();
                seen.extend(identity(record).map(|id| (id, offset)));
                complete = offset.next() == request.position;
            }
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => complete = true,
            Some(Err(_)) | None => {}
        }
    }
    if let Err(error) = reader.unassign() {
        warn!(partition = %request.source, "window reader: {error}");
    }
    (seen, complete)
}
