//! Looks at the group's committed positions while a run goes on, and notes what readers of committed data know soon after.
//!
//! "Soon after" is exact: positions first, then where the audit topic ends, and then what has been read once all of that was.
//! An outcome that is committed with a position is there by then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::progress::Progress;
use crate::reading::{Ends, positions};
use crate::reconcile::{Position, Snapshot};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// How often a look that has to wait for its reader asks whether it got there.
const LOOK: Duration = Duration::from_millis(50);

/// A thread that looks.
pub struct Positions {
    stop: Arc<AtomicBool>,
    snapshots: mpsc::Receiver<Snapshot>,
    thread: JoinHandle<()>,
}

impl Positions {
    /// Looks from now on.
    #[must_use]
    pub fn start(kafka: &str, progress: Arc<Progress>) -> Self {
        let (kafka, stop) = (kafka.to_owned(), Arc::new(AtomicBool::new(false)));
        let (sender, snapshots) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // A broker that is away is asked again.
                if let Ok((positions, ends)) = look(&kafka) {
                    while !progress.has_read(&ends) && !stopped.load(Ordering::Relaxed) {
                        thread::sleep(LOOK);
                    }
                    if progress.has_read(&ends) {
                        // Nobody listens only when the run has failed.
                        let _ = sender.send(Snapshot { positions, left: progress.left() });
                    }
                }
                thread::sleep(EVERY);
            }
        });
        Self { stop, snapshots, thread }
    }

    /// Everything that was noted.
    #[must_use]
    pub fn finish(self) -> Vec<Snapshot> {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the thread has been printed, and what it had noted counts.
        let _ = self.thread.join();
        self.snapshots.try_iter().collect()
    }
}

fn look(kafka: &str) -> Result<(Vec<Position>, Ends)> {
    let positions = positions(kafka)?;
    Ok((positions, crate::reading::audit_ends(kafka)?))
}
