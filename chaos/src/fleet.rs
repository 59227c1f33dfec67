//! The replicas: started, stopped, killed, frozen; and started again where one ends that nobody ended, which is noted.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use coafi_testcontainers::reaper;

use crate::servers::Servers;
use crate::world::World;

/// After SIGTERM a replica ends within its drain timeout (20 s), or is killed.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Between two looks at a process, which notifies nobody.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a log that are shown of a replica that ended by itself.
const TAIL_LINES: usize = 15;
/// What the drill says before it kills its process, and the signal that it dies of (SIGABRT).
const KILLED_BY_EVENT: &str = "the event kills this process";
const ABORTED: i32 = 6;

struct Replica {
    slot: usize,
    child: Child,
    frozen: bool,
    _reaped: reaper::Entry,
}

/// All replicas.
pub struct Fleet {
    world: World,
    kafka: Vec<String>,
    /// Which `coafi` the replica of each slot is, from its next start on.
    binaries: Vec<PathBuf>,
    /// In order of their slots.
    replicas: Vec<Replica>,
    /// What ended that nobody ended, and what did not end when it was told to.
    pub complaints: Vec<String>,
    /// How often an event has killed its process.
    pub killed_by_events: usize,
}

impl Fleet {
    /// With no replica yet; at most `slots` of them.
    #[must_use]
    pub fn new(world: World, servers: &Servers, slots: usize) -> Self {
        let kafka = (0..slots).map(|slot| servers.kafka_for(slot)).collect();
        let binaries = vec![world.binary.clone(); slots];
        Self { world, kafka, binaries, replicas: Vec::new(), complaints: Vec::new(), killed_by_events: 0 }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replicas.is_empty()
    }

    /// The slots of all replicas.
    #[must_use]
    pub fn slots(&self) -> Vec<usize> {
        self.replicas.iter().map(|replica| replica.slot).collect()
    }

    /// Whether replicas that are started from now on have room for whatever has failed.
    pub fn make_room(&mut self, room: bool) {
        self.world.room = room;
    }

    /// The slot of the `nth` replica, counted round and round.
    #[must_use]
    pub fn slot(&self, nth: usize) -> usize {
        self.replicas[nth % self.replicas.len()].slot
    }

    /// From its next start on, the replica of this slot is this `coafi`.
    pub fn set_binary(&mut self, slot: usize, binary: &Path) {
        binary.clone_into(&mut self.binaries[slot]);
    }

    /// Has a release make the topics and schemas that it needs and that are not there.
    ///
    /// # Errors
    /// It refuses.
    pub fn prepare_for(&self, binary: &Path) -> Result<()> {
        World { binary: binary.to_owned(), ..self.world.clone() }.prepare()
    }

    /// One replica more, with the lowest free slot; false if there is none.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Result<bool> {
        let taken = |slot: &usize| self.replicas.iter().any(|replica| replica.slot == *slot);
        let Some(slot) = (0..self.kafka.len()).find(|slot| !taken(slot)) else { return Ok(false) };
        self.start_at(slot)?;
        Ok(true)
    }

    /// Starts the replica of a slot; one that runs is left alone.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_at(&mut self, slot: usize) -> Result<()> {
        if self.replicas.iter().any(|replica| replica.slot == slot) {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.world.path(&log_name(slot)))?;
        let world = World { binary: self.binaries[slot].clone(), ..self.world.clone() };
        let mut command = world.command(&["consume", "--slot", &slot.to_string()], &self.kafka[slot]);
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().context("start a replica")?;
        let reaped = reaper::Entry::group(child.id())?;
        self.replicas.push(Replica { slot, child, frozen: false, _reaped: reaped });
        self.replicas.sort_by_key(|replica| replica.slot);
        Ok(())
    }

    /// As `kill -9`.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self, slot: usize) -> Result<()> {
        let Some(mut replica) = self.take(slot) else { return Ok(()) };
        replica.child.kill()?;
        replica.child.wait()?;
        Ok(())
    }

    /// As `kill -TERM`; returns when it has ended, which has to be with code 0.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn terminate(&mut self, slot: usize) -> Result<()> {
        let Some(mut replica) = self.take(slot) else { return Ok(()) };
        signal("TERM", replica.child.id())?;
        let deadline = Instant::now() + STOP_LIMIT;
        let status = loop {
            if let Some(status) = replica.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                break None;
            }
            thread::sleep(LOOK);
        };
        match status {
            Some(status) if status.success() => {}
            Some(status) => self.complain(slot, &format!("ended with {status} after SIGTERM")),
            None => {
                replica.child.kill()?;
                replica.child.wait()?;
                self.complain(slot, &format!("had not ended {} s after SIGTERM", STOP_LIMIT.as_secs()));
            }
        }
        Ok(())
    }

    /// As `kill -STOP`.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&mut self, slot: usize) -> Result<()> {
        self.set_frozen(slot, true)
    }

    /// As `kill -CONT`.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&mut self, slot: usize) -> Result<()> {
        self.set_frozen(slot, false)
    }

    fn set_frozen(&mut self, slot: usize, frozen: bool) -> Result<()> {
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.slot == slot) else { return Ok(()) };
        signal(if frozen { "STOP" } else { "CONT" }, replica.child.id())?;
        replica.frozen = frozen;
        Ok(())
    }

    /// Notes which have ended by themselves, and starts them again, as whoever runs them in production would. One that an event
    /// has killed is started again all the same.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn look_after(&mut self) -> Result<()> {
        let mut ended: Vec<(usize, ExitStatus)> = Vec::new();
        for replica in &mut self.replicas {
            if let Some(status) = replica.child.try_wait()? {
                ended.push((replica.slot, status));
            }
        }
        for (slot, status) in ended {
            if status.signal() == Some(ABORTED) && self.log_end(slot).contains(KILLED_BY_EVENT) {
                self.killed_by_events += 1;
            } else {
                self.complain(slot, &format!("ended by itself with {status}"));
            }
            self.take(slot);
            self.start_at(slot)?;
        }
        Ok(())
    }

    /// Stops all of them in order.
    ///
    /// # Errors
    /// One cannot be waited for.
    pub fn stop(&mut self) -> Result<()> {
        while let Some(replica) = self.replicas.last() {
            let slot = replica.slot;
            self.terminate(slot)?;
        }
        Ok(())
    }

    fn take(&mut self, slot: usize) -> Option<Replica> {
        let index = self.replicas.iter().position(|replica| replica.slot == slot)?;
        Some(self.replicas.remove(index))
    }

    fn complain(&mut self, slot: usize, what: &str) {
        let tail = self.log_end(slot);
        self.complaints.push(format!("replica {slot} {what}; its log ends with\n    {tail}"));
    }

    fn log_end(&self, slot: usize) -> String {
        let log = fs::read(self.world.path(&log_name(slot))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n    ")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for replica in &mut self.replicas {
            // It may have ended by itself.
            let _ = replica.child.kill();
            let _ = replica.child.wait();
        }
    }
}

fn log_name(slot: usize) -> String {
    format!("replica-{slot}.log")
}

/// Through the shell's own `kill`: the standard library has none, and a minimal machine no /bin/kill.
fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().context("run sh")?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}
