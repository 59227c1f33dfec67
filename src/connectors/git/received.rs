//! How much of a pack has come, so that no server can fill the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gix::progress::{Count, Id, MessageLevel, NestedProgress, Progress, Step, StepShared, UNKNOWN, Unit};

use super::fetches::Interrupt;

/// gix reads a pack from the server under this name.
const READ_PACK: Id = *b"BWRB";

/// Told by gix how a fetch goes; sets `interrupt` when more has come than may.
pub(super) struct Received {
    limit: u64,
    interrupt: Interrupt,
    exceeded: Arc<AtomicBool>,
    counts: bool,
    steps: StepShared,
}

impl Received {
    /// `limit`: bytes of packs, as they are sent.
    pub(super) fn new(limit: u64, interrupt: Interrupt) -> Self {
        Self::child(limit, interrupt, Arc::default(), false)
    }

    fn child(limit: u64, interrupt: Interrupt, exceeded: Arc<AtomicBool>, counts: bool) -> Self {
        Self { limit, interrupt, exceeded, counts, steps: Arc::new(AtomicUsize::new(0)) }
    }

    /// Whether it was this that interrupted; true from then on.
    pub(super) fn exceeded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.exceeded)
    }
}

impl Count for Received {
    fn set(&self, step: Step) {
        self.steps.store(step, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        self.steps.load(Ordering::Relaxed)
    }

    fn inc_by(&self, step: Step) {
        let so_far = self.steps.fetch_add(step, Ordering::Relaxed) + step;
        if self.counts && so_far as u64 > self.limit {
            self.exceeded.store(true, Ordering::Relaxed);
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }

    fn counter(&self) -> StepShared {
        Arc::clone(&self.steps)
    }
}

/// Nobody looks at the rest.
impl Progress for Received {
    fn init(&mut self, _max: Option<Step>, _unit: Option<Unit>) {}

    fn set_name(&mut self, _name: String) {}

    fn name(&self) -> Option<String> {
        None
    }

    fn id(&self) -> Id {
        UNKNOWN
    }

    fn message(&self, _level: MessageLevel, _message: String) {}
}

impl NestedProgress for Received {
    type SubProgress = Self;

    fn add_child(&mut self, name: impl Into<String>) -> Self {
        self.add_child_with_id(name, UNKNOWN)
    }

    fn add_child_with_id(&mut self, _name: impl Into<String>, id: Id) -> Self {
        Self::child(self.limit, Arc::clone(&self.interrupt), Arc::clone(&self.exceeded), id == READ_PACK)
    }
}
