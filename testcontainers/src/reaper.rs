//! Ends what a process started, however that process ends.
//!
//! One shell per process reads from a pipe what would have to be cleaned up. The pipe closes when the process is gone,
//! be it by `exit`, a panic, Ctrl-C or SIGKILL, and then the shell kills, removes and leaves. Handlers of signals would
//! miss SIGKILL, and `PR_SET_PDEATHSIG` fires at the end of the starting *thread*, which in a test is too early.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};

/// Reads lines `+ ENTRY` and `- ENTRY` until the pipe closes, then cleans up every entry left. Removing a directory is
/// repeated for up to ten seconds: children of a killed server may still be writing to it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
set -f
nl='
'
entries=
while IFS= read -r line; do
  case $line in
    "+ "*) entries="$entries${line#+ }$nl" ;;
    "- "*)
      kept=
      gone=${line#- }
      IFS=$nl
      for entry in $entries; do [ "$entry" = "$gone" ] || kept="$kept$entry$nl"; done
      unset IFS
      entries=$kept ;;
  esac
done
IFS=$nl
for entry in $entries; do
  case $entry in "term "*) kill -TERM -"${entry#term }" ;; esac
done
for entry in $entries; do
  case $entry in
    "group "*) kill -KILL -"${entry#group }" ;;
    "compose "*) docker compose --project-name "${entry#compose }" down --volumes --timeout 0 ;;
  esac
done
for entry in $entries; do
  case $entry in
    "term "*) sleep 1; kill -KILL -"${entry#term }" ;;
  esac
done
for entry in $entries; do
  case $entry in
    "directory "*)
      tries=0
      until rm -rf "${entry#directory }" || [ "$tries" -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done ;;
  esac
done
"#;

/// Something to clean up. It is forgotten, not cleaned, when the entry is dropped: its owner has done it by then.
#[derive(Debug)]
pub struct Entry {
    line: String,
}

impl Entry {
    /// Kill the process group `pgid`.
    ///
    /// # Errors
    /// The reaper cannot be started.
    pub fn group(pgid: u32) -> Result<Self> {
        Self::add(format!("group {pgid}"))
    }

    /// Ask the process group `pgid` to end, and kill it a second later.
    pub(crate) fn group_politely(pgid: u32) -> Result<Self> {
        Self::add(format!("term {pgid}"))
    }

    /// Bring down the Docker Compose project `name` with its volumes.
    pub(crate) fn compose_project(name: &str) -> Result<Self> {
        Self::add(format!("compose {name}"))
    }

    /// Remove the directory `path`.
    pub(crate) fn directory(path: &Path) -> Result<Self> {
        Self::add(format!("directory {}", path.display()))
    }

    fn add(line: String) -> Result<Self> {
        tell(&format!("+ {line}\n"))?;
        Ok(Self { line })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // A reaper that is gone has nothing to forget.
        let _ = tell(&format!("- {}\n", self.line));
    }
}

/// Writes to the reaper of this process, starting it at first use. The pipe is closed on exec like every file of std,
/// so no server keeps it open.
fn tell(line: &str) -> Result<()> {
    static REAPER: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let mut reaper = REAPER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = match reaper.take() {
        Some(pipe) => reaper.insert(pipe),
        None => reaper.insert(start()?),
    };
    pipe.write_all(line.as_bytes()).context("write to the reaper")
}

fn start() -> Result<ChildStdin> {
    let shell = Command::new("setsid")
        .args(["sh", "-c", SCRIPT])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start the reaper (setsid and sh)")?;
    shell.stdin.context("the reaper's standard input is a pipe")
}
