//! Workers: tasks that take runs from their queues, and the side that fills these.
//!
//! What is in the queues is bounded by the engine (`Settings::max_in_flight`); they themselves refuse nothing, because a run
//! that was taken and not reported would be lost to the engine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::attempt::attempt;
use super::delivery::Delivery;
use super::ending::{Board, Ending};
use super::report::Report;
use super::shared::Shared;
use super::worker::Worker;
use crate::engine::{Epoch, Finished, Job, PartitionId};
use crate::store::Fence;

/// Where workers put what has ended. Called from worker tasks; must not block, and must wake the driver.
pub type ResultSink = Arc<dyn Fn(Vec<Finished<Report>>) + Send + Sync>;

pub(super) type Jobs = Vec<Job<Arc<Delivery>>>;

pub(super) enum Command {
    Run(Jobs, Arc<Fence>),
    /// An epoch ends: look.
    Wake,
    Stop,
}

/// The sending side: cheap, never blocks.
pub(super) struct Submit {
    queues: Vec<Queue>,
    next: AtomicUsize,
    board: Arc<Board>,
}

struct Queue {
    sender: UnboundedSender<Command>,
    /// Runs that the worker has not looked at yet.
    depth: Arc<AtomicUsize>,
}

impl Submit {
    /// To the worker with the shortest queue.
    ///
    /// # Errors
    /// The run, if the workers have ended.
    pub(super) fn submit(&self, run: Jobs, fence: Arc<Fence>) -> Result<(), Jobs> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let in_turn = self.queues[first..].iter().chain(&self.queues[..first]);
        let queue = in_turn.min_by_key(|queue| queue.depth.load(Ordering::Relaxed)).expect("at least one worker");
        queue.depth.fetch_add(1, Ordering::Relaxed);
        queue.sender.send(Command::Run(run, fence)).map_err(|refused| match refused.0 {
            Command::Run(run, _) => run,
            Command::Wake | Command::Stop => Vec::new(),
        })
    }

    pub(super) fn end(&self, partition: PartitionId, epoch: Epoch, ending: Ending) {
        self.board.add(partition, epoch, ending);
        for queue in &self.queues {
            // A worker that has ended holds nothing that could end.
            let _ended = queue.sender.send(Command::Wake);
        }
    }
}

/// The tasks. Whoever holds this waits for their end.
pub struct Workers {
    tasks: JoinSet<()>,
    senders: Vec<UnboundedSender<Command>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({})", self.tasks.len())
    }
}

/// A worker ended though nobody stopped it: a bug of ours, and what it held is not reported.
#[derive(Debug, thiserror::Error)]
#[error("a worker ended unexpectedly: {0}")]
pub struct WorkerEnded(String);

impl Workers {
    pub(super) fn start(runtime: &Handle, shared: &Arc<Shared>, workers: usize, sink: &ResultSink) -> (Submit, Self) {
        let board = Arc::new(Board::default());
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for _ in 0..workers.max(1) {
            let (sender, queue) = unbounded_channel();
            let depth = Arc::new(AtomicUsize::new(0));
            let shared = Arc::clone(shared);
            let make = move |job, fence, admission| attempt(Arc::clone(&shared), job, fence, admission);
            let worker = Worker::new(make, queue, Arc::clone(&depth), Arc::clone(&board), Arc::clone(sink));
            tasks.spawn_on(worker.work(), runtime);
            queues.push(Queue { sender, depth });
        }
        let senders = queues.iter().map(|queue| queue.sender.clone()).collect();
        (Submit { queues, next: AtomicUsize::new(0), board }, Self { tasks, senders })
    }

    /// Waits until a worker ends, which none does before [`Workers::stop`].
    pub async fn failed(&mut self) -> WorkerEnded {
        match self.tasks.join_next().await {
            Some(Err(error)) => WorkerEnded(error.to_string()),
            Some(Ok(())) | None => WorkerEnded("its queue was closed".to_owned()),
        }
    }

    /// Cancels what still runs, reports it, and waits for the end of all workers.
    ///
    /// # Errors
    /// A worker that panicked.
    pub async fn stop(mut self) -> Result<(), WorkerEnded> {
        for sender in &self.senders {
            // One that has ended already is joined below.
            let _ended = sender.send(Command::Stop);
        }
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| WorkerEnded(error.to_string()))?;
        }
        Ok(())
    }
}
