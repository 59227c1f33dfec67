//! A server process: started in a session of its own with its output in a file, found again by its pid file.
//!
//! A pid file holds the pid and the start time of the process (clock ticks since boot, field 22 of /proc/PID/stat), so
//! that another process which was given the same pid later is never signalled.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::probe::wait_until;

/// How many lines of its log the error of a failed start quotes.
const LOG_TAIL_LINES: usize = 20;
/// Killed processes are gone within this.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A process and the files that describe it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Terminate,
    Pause,
    Resume,
}

impl Process {
    /// The process whose pid file and log are (or will be) in `directory`.
    pub(crate) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Starts `command` as the leader of a new session, so that neither the terminal's Ctrl-C nor its end reaches it.
    /// Returns its pid, which is also its process group.
    pub(crate) fn spawn(&self, command: &Command) -> Result<u32> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        // setsid(1) replaces itself by the command unless it leads a process group, which a fresh child does not.
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(key, value),
                None => detached.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            detached.current_dir(directory);
        }
        let mut child = detached
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let pid = child.id();
        fs::write(self.pid_path(), format!("{pid} {}", start_time(pid).unwrap_or(0)))?;
        // Reaps the process once it ends: as a zombie it would go on looking alive.
        std::thread::spawn(move || child.wait());
        Ok(pid)
    }

    /// The pid of the running process, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let file = fs::read_to_string(self.pid_path()).ok()?;
        let (pid, started) = file.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == started.parse::<u64>().ok()?).then_some(pid)
    }

    /// Sends `signal` to the process and all its descendants. One that is not running is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        match signal {
            // A server told to stop tells its children itself.
            Signal::Terminate => send("TERM", &[pid]),
            Signal::Pause => send("STOP", &with_descendants(pid)),
            Signal::Resume => send("CONT", &with_descendants(pid)),
        }
    }

    /// Asks the process to end, waits `grace`, kills it, and waits until it is gone.
    pub(crate) fn stop(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::Terminate)?;
        if wait_until(grace, || Ok(self.pid().is_none())).is_err() {
            self.kill()?;
        }
        Ok(())
    }

    /// Kills the process and its descendants, and waits until they are gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let family = with_descendants(pid);
        let started: Vec<_> = family.iter().map(|pid| start_time(*pid)).collect();
        send("KILL", &family)?;
        let gone =
            || family.iter().zip(&started).all(|(pid, then)| start_time(*pid).is_none_or(|now| Some(now) != *then));
        wait_until(KILL_LIMIT, || Ok(gone())).with_context(|| format!("process {pid} survives SIGKILL"))
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The last lines of its log, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn pid_path(&self) -> PathBuf {
        self.directory.join("pid")
    }
}

/// Sends a signal through the shell's own `kill`: the standard library has none, and a minimal machine no /bin/kill.
fn send(signal: &str, pids: &[u32]) -> Result<()> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // A process that ended meanwhile is no error; whoever must know that it is gone waits for that.
    Command::new("sh")
        .args(["-c", &format!("kill -{signal} {} 2>/dev/null || :", pids.join(" "))])
        .status()
        .context("run sh to send a signal")?;
    Ok(())
}

/// The fields of /proc/PID/stat from the third (state) on, unless the process is gone or a zombie.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command's name in parentheses and may hold anything, more parentheses too.
    let fields: Vec<String> = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields.first()? != "Z" && fields.first()? != "X").then_some(fields)
}

fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// `pid` and every descendant of it, parents first.
fn with_descendants(pid: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(processes.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| *pid));
        next += 1;
    }
    family
}
