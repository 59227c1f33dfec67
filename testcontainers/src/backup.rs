//! What a server keeps, copied and put back while it is stopped: how an operator's backup of a cluster looks from outside.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Kafka;
use crate::server::{Backend, remove};

/// Kafka's data inside of its container.
const IN_CONTAINER: &str = "kafka:/tmp/kraft-combined-logs";

impl Kafka {
    /// Copies everything that the broker keeps to `to`, which must not exist. The broker is stopped for it.
    pub fn back_up(&mut self, to: &Path) -> Result<()> {
        self.stop()?;
        match &self.0.backend {
            Backend::Native(directory) => copy(&directory.join("data"), to)?,
            Backend::Docker(project) => {
                drop(project.compose(&["cp", "--archive", IN_CONTAINER, &to.to_string_lossy()])?);
            }
        }
        self.restart()
    }

    /// Has the broker keep what it kept when [`Self::back_up`] made `from`, and nothing else.
    pub fn put_back(&mut self, from: &Path) -> Result<()> {
        self.stop()?;
        match &self.0.backend {
            Backend::Native(directory) => {
                let data = directory.join("data");
                remove(&data)?;
                copy(from, &data)?;
            }
            Backend::Docker(project) => {
                project.compose(&["rm", "--force", "kafka"])?;
                project.compose(&["up", "--no-start", "kafka"])?;
                project.compose(&["cp", "--archive", &from.to_string_lossy(), IN_CONTAINER])?;
            }
        }
        self.restart()
    }
}

/// With times and owners. Not in Rust: the standard library copies no directories.
fn copy(from: &Path, to: &Path) -> Result<()> {
    ensure!(!to.exists(), "{} is there already", to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().context("run cp")?;
    ensure!(status.success(), "cp {} {}: {status}", from.display(), to.display());
    Ok(())
}
