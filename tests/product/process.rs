//! One run of `coafi`: what it says, how it ends, and how it is told to.

use std::fmt::Debug;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coafi_testcontainers::reaper;
use serde_json::Value;

use crate::http::{self, Answer};

/// Everything that a test waits for comes within this time, or the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks from outside at a process, which notifies nobody: the one place here that waits by the clock.
const POLL: Duration = Duration::from_millis(20);

/// Of each process of a test that fails.
const LOG_LINES_SHOWN: usize = 40;

/// Waits for a condition, with a bound.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    found(what, || holds().then_some(()));
}

/// Waits for a value, with a bound.
pub(crate) fn found<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

/// [`eventually`] of what may take longer, as long as it gets on.
pub(crate) fn eventually_while<P: PartialEq + Debug>(what: &str, progress: impl Fn() -> P, holds: impl Fn() -> bool) {
    while !holds() {
        let before = progress();
        eventually(&format!("{what}, after {before:?}"), || progress() != before || holds());
    }
}

/// A process that runs. It is killed with its handle, and if the test itself is killed.
pub(crate) struct Process {
    child: Child,
    stdout: Reading,
    stderr: Reading,
    _reaped: reaper::Entry,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let reaped = reaper::Entry::group(child.id()).unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, stdout: Reading::start(stdout), stderr: Reading::start(stderr), _reaped: reaped }
    }

    /// As `kill -TERM`.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// As `kill -9`, of this process and nothing else.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// As `kill -STOP`: nothing of it runs until [`Self::go_on`].
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has, as the system counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -{name}: {sent}");
    }

    /// Waits for its end, with a bound. Whatever else happens, it does not panic.
    pub(crate) fn ended(mut self) -> Ended {
        let status = found("the process ends", || self.child.try_wait().unwrap());
        let ended = Ended { status, stdout: self.stdout.finish(), stderr: self.stderr.finish() };
        assert!(!ended.stderr.contains("panicked at"), "{}", ended.stderr);
        ended
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// Where it serves its pages: the port is chosen by the system, and said in the log.
    fn address(&self) -> String {
        self.served("serving /health")
    }

    /// The address that it logs with these words.
    pub(crate) fn served(&self, what: &str) -> String {
        found("an address", || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(what))?;
            let line: Value = serde_json::from_str(line).expect("a log line is JSON");
            Some(line["address"].as_str()?.to_owned())
        })
    }

    /// `/health`, `/ready` or `/metrics`.
    pub(crate) fn page(&self, path: &str) -> Answer {
        http::get(&format!("http://{}{path}", self.address()))
            .unwrap_or_else(|| panic!("{path}: no answer; its log: {}", self.log()))
    }

    /// A metric by its full name with labels; 0 before it is there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").body;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    pub(crate) fn until_ready(&mut self) {
        eventually("the replica is ready", || {
            assert!(self.is_running(), "it ended: {}", self.log());
            self.page("/ready").status == 200
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("the log of {} ends with\n{}", self.id(), last.join("\n"));
        }
    }
}

impl Ended {
    /// Ended well, with what it says on standard output.
    pub(crate) fn well(self) -> String {
        assert!(self.status.success(), "{}: {}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// [`Self::well`] of a command that was asked for JSON: its last line.
    pub(crate) fn json(self) -> Value {
        let text = self.well();
        let whole = serde_json::from_str(&text);
        whole.unwrap_or_else(|_| serde_json::from_str(text.lines().last().unwrap_or_default()).expect(&text))
    }

    /// The exit code; a signal is none.
    pub(crate) fn code(&self) -> Option<i32> {
        assert!(!self.status.core_dumped(), "{}", self.stderr);
        self.status.code()
    }
}

/// What comes out of a pipe, while it comes.
struct Reading {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn start(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let (mut pipe, mut line) = (BufReader::new(pipe), Vec::new());
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn finish(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text()
    }
}
