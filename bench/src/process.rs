//! A measured child process: its CPU time and peak memory as the kernel counts them.

use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::time::Duration;

use anyhow::Context as _;

/// Ends with its value: a benchmark leaves nothing running.
pub(crate) struct Measured {
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_mib: f64,
}

/// Linux reports CPU time in hundredths of a second (`USER_HZ`, the same on every architecture that we build for).
const TICK: Duration = Duration::from_millis(10);

impl Measured {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child })
    }

    /// Once, if it is piped.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Once, if it is piped.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let id = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("the measured process has ended")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // A zombie has an entry until it is waited for.
        anyhow::ensure!(!matches!(fields.first(), Some(&"Z" | &"X") | None), "the measured process has ended");
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak_kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok())
            .unwrap_or(0.0);
        // Fields 14 and 15 of proc(5), counted from the third one.
        Ok(Usage { cpu: TICK * (ticks(11) + ticks(12)), peak_rss_mib: peak_kib / 1024.0 })
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Killing a process that has ended already is the only failure, and what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
