//! One worker: carries runs out.
//!
//! A run is polled where it was taken from the queue: what is ready at once costs no task, no timer and no lock. What is not
//! goes into the set of waiting runs and continues there, so that one worker holds many lanes at once. Results go back in
//! batches, at the latest before the worker waits for something.
//!
//! I3: a run is one lane's, in order, and stops at the first record that does not succeed. I4: a cancelled epoch's runs stop
//! at once, also those that still wait in the queue; of a recalled one's, what handlers have begun with goes on. The same
//! goes for runs that were handed out under routes that are not in force any more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

use super::attempt::End;
use super::delivery::Delivery;
use super::ending::{Admission, Board, Ending, Endings};
use super::run::{Results, Run};
use super::workers::{Command, ResultSink};
use crate::engine::Job;
use crate::store::Fence;

/// Things done before results are handed over.
const BATCH: usize = 256;

/// `M` makes an attempt's future from a job.
pub(super) struct Worker<M, F> {
    make: M,
    queue: UnboundedReceiver<Command>,
    depth: Arc<AtomicUsize>,
    board: Arc<Board>,
    /// The generation of `endings`.
    seen: u64,
    endings: Endings,
    waiting: FuturesUnordered<Waiting<F>>,
    /// The box of the last run's attempts, for the next run.
    spare: Option<Pin<Box<F>>>,
    results: Results,
    sink: ResultSink,
}

/// A thing to do.
enum Item<F> {
    Command(Command),
    /// A waiting record has ended; its run goes on.
    Continue(Run<F>, Results),
}

impl<M, F> Worker<M, F>
where
    M: Fn(Job<Arc<Delivery>>, Arc<Fence>, Arc<Admission>) -> F + Send,
    F: Future<Output = End> + Send,
{
    pub(super) fn new(
        make: M,
        queue: UnboundedReceiver<Command>,
        depth: Arc<AtomicUsize>,
        board: Arc<Board>,
        sink: ResultSink,
    ) -> Self {
        Self {
            make,
            queue,
            depth,
            board,
            seen: 0,
            endings: Endings::default(),
            waiting: FuturesUnordered::new(),
            spare: None,
            results: Vec::new(),
            sink,
        }
    }

    /// Until it is told to stop, or nobody can tell it anything any more.
    pub(super) async fn work(mut self) {
        while let Some(item) = self.wait().await {
            let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            if !self.do_what_is_ready(item, &mut Context::from_waker(&waker)) {
                break;
            }
        }
        self.stop();
    }

    async fn wait(&mut self) -> Option<Item<F>> {
        tokio::select! {
            biased;
            Some((run, results)) = self.waiting.next(), if !self.waiting.is_empty() => {
                Some(Item::Continue(run, results))
            }
            command = self.queue.recv() => command.map(Item::Command),
        }
    }

    /// `false` when it is to stop.
    fn do_what_is_ready(&mut self, first: Item<F>, cx: &mut Context<'_>) -> bool {
        let mut next = Some(first);
        let mut left = BATCH;
        while let Some(item) = next {
            match item {
                Item::Command(Command::Run(jobs, fence)) => {
                    self.depth.fetch_sub(1, Ordering::Relaxed);
                    let run = Run::new(jobs, fence, self.spare.take());
                    self.drive(run, cx);
                }
                Item::Command(Command::Wake) => self.drop_ending(),
                Item::Command(Command::Stop) => return false,
                Item::Continue(run, mut results) => {
                    self.results.append(&mut results);
                    self.drive(run, cx);
                }
            }
            left -= 1;
            next = if left > 0 { self.ready_now(cx) } else { None };
        }
        self.hand_over();
        true
    }

    fn ready_now(&mut self, cx: &mut Context<'_>) -> Option<Item<F>> {
        if let Poll::Ready(Some((run, results))) = self.waiting.poll_next_unpin(cx) {
            return Some(Item::Continue(run, results));
        }
        self.queue.try_recv().ok().map(Item::Command)
    }

    /// Starts a run's records one after another, until one is not ready at once.
    fn drive(&mut self, mut run: Run<F>, cx: &mut Context<'_>) {
        loop {
            if self.ending(&run).is_some() || run.is_outdated() {
                // None of its records is with a handler now.
                return run.cancel(&mut self.results);
            }
            if !run.start_next(&self.make) {
                self.spare = run.into_slot();
                return;
            }
            if run.poll(cx, &mut self.results).is_pending() {
                return self.waiting.push(Waiting(Some(run)));
            }
        }
    }

    fn ending(&mut self, run: &Run<F>) -> Option<Ending> {
        if let Some((generation, endings)) = self.board.newer_than(self.seen) {
            (self.seen, self.endings) = (generation, endings);
        }
        let (partition, epoch) = run.epoch()?;
        self.endings.of(partition, epoch)
    }

    fn drop_ending(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            let Some(mut run) = waiting.0 else { continue };
            match self.ending(&run) {
                Some(Ending::Cancelled) => run.cancel(&mut self.results),
                Some(Ending::Recalled) if !run.recall(&mut self.results) => {}
                Some(Ending::Recalled) | None => self.waiting.push(Waiting(Some(run))),
            }
        }
    }

    fn hand_over(&mut self) {
        if !self.results.is_empty() {
            (self.sink)(std::mem::take(&mut self.results));
        }
    }

    fn stop(mut self) {
        self.queue.close();
        for run in std::mem::take(&mut self.waiting).into_iter().filter_map(|waiting| waiting.0) {
            run.cancel(&mut self.results);
        }
        while let Ok(command) = self.queue.try_recv() {
            if let Command::Run(jobs, fence) = command {
                Run::<F>::new(jobs, fence, None).cancel(&mut self.results);
            }
        }
        self.hand_over();
    }
}

/// A run whose current record is not ready yet. Ends when that record has.
struct Waiting<F>(Option<Run<F>>);

impl<F: Future<Output = End>> Future for Waiting<F> {
    type Output = (Run<F>, Results);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let run = self.0.as_mut().expect("not polled after its end");
        let mut results = Results::new();
        ready!(run.poll(cx, &mut results));
        let run = self.0.take().expect("just polled");
        Poll::Ready((run, results))
    }
}
