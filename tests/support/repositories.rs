//! Git repositories for tests, made by git itself: an oracle that shares no code with us.
//!
//! [`Repository`] is for cases written by hand, [`generate`] for many commits fast (`git fast-import`: 200,000 in a few
//! seconds), [`random_history`] for histories nobody thought of.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A repository in a directory of the caller's.
#[derive(Clone, Debug)]
pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    /// `git init` with the branch `main`.
    pub fn init(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        std::fs::create_dir_all(&path).unwrap();
        let repository = Self { path };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub fn init_bare(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        std::fs::create_dir_all(&path).unwrap();
        let repository = Self { path };
        repository.git(&["init", "-q", "--bare", "-b", "main"]);
        repository
    }

    pub fn url(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    /// Runs git in the repository and gives its output, trimmed; panics where git fails.
    pub fn git<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        String::from_utf8(self.git_bytes(args)).unwrap().trim().to_owned()
    }

    pub fn git_bytes<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<u8> {
        let output = command(&self.path).args(args).output().unwrap();
        let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub fn lines<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<String> {
        self.git(args).lines().map(str::to_owned).collect()
    }

    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything that is in the worktree; gives the sha.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Writes one file and commits it.
    pub fn commit_file(&self, path: &str, content: &str) -> String {
        self.write(path, content);
        self.commit(&format!("change {path}"))
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory);
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@example.org"),
        ("GIT_COMMITTER_NAME", "Grace"),
        ("GIT_COMMITTER_EMAIL", "grace@example.org"),
        ("GIT_ALLOW_PROTOCOL", "file:http"),
    ] {
        command.env(name, value);
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
}

/// Makes a bare repository with `commits` commits on `main`, each changing the file that `file` gives for its number.
pub fn generate(path: impl Into<PathBuf>, commits: u32, file: impl Fn(u32) -> (String, String)) -> Repository {
    let repository = Repository::init_bare(path);
    import(&repository, |stream| {
        for n in 1..=commits {
            let (path, content) = file(n);
            let seconds = 1_700_000_000 + u64::from(n);
            let message = format!("commit {n}\n");
            let from = if n == 1 { String::new() } else { format!("from :{}\n", n - 1) };
            write!(
                stream,
                "commit refs/heads/main\nmark :{n}\nauthor Ada <ada@example.org> {seconds} +0000\n\
                 committer Grace <grace@example.org> {seconds} +0000\ndata {}\n{}{from}M 100644 inline {path}\ndata {}\n{content}\n",
                message.len(),
                message,
                content.len(),
            )
            .unwrap();
        }
    });
    repository
}

/// [`generate`] with small Markdown, YAML and JSON files, a few dozen of each, some of them wrong.
pub fn generate_documents(path: impl Into<PathBuf>, commits: u32) -> Repository {
    generate(path, commits, document)
}

/// `count` repositories below `root`, `commits` in all, as evenly as it goes.
pub fn generate_many(root: &Path, count: u32, commits: u32) -> Vec<Repository> {
    let share = |n: u32| commits / count + u32::from(n < commits % count);
    (0..count).map(|n| generate_documents(root.join(format!("repository-{n:03}.git")), share(n))).collect()
}

fn document(n: u32) -> (String, String) {
    match n % 4 {
        0 => (format!("config/{}.yaml", n % 37), format!("version: {n}\nname: service-{}\n", n % 37)),
        1 => (format!("data/{}.json", n % 41), format!("{{\"version\": {n}}}\n")),
        2 if n % 50 == 2 => {
            (format!("docs/broken-{}.md", n % 7), format!("### Skips levels\n\n[gone](missing-{n}.md)\n"))
        }
        _ => (format!("docs/{}.md", n % 43), format!("# Document {}\n\nRevision {n}.\n", n % 43)),
    }
}

/// A history of `commits` commits with merges and octopuses, several roots and branches, and commit times that lie.
/// The same seed gives the same history.
pub fn random_history(path: impl Into<PathBuf>, seed: u64, commits: u32, branches: u32) -> Repository {
    let repository = Repository::init_bare(path);
    let mut random = Random(seed | 1);
    import(&repository, |stream| {
        for n in 1..=commits {
            let mut parents = std::collections::BTreeSet::new();
            if n > 1 && random.below(40) != 0 {
                for _ in 0..=[0, 0, 0, 0, 0, 1, 1, 2][random.below(8) as usize] {
                    // Mostly recent commits, sometimes any.
                    let back = if random.below(10) == 0 { n - 1 } else { 12.min(n - 1) };
                    parents.insert(n - 1 - u32::try_from(random.below(u64::from(back))).unwrap());
                }
            }
            let spread = if random.below(5) == 0 { 900_000_000 } else { 50 };
            let seconds = 1_700_000_000 + random.below(spread);
            let mut text = format!(
                "commit refs/scratch/{n}\nmark :{n}\ncommitter Grace <grace@example.org> {seconds} +0000\ndata 2\nx\n"
            );
            for (at, parent) in parents.iter().rev().enumerate() {
                writeln!(text, "{} :{parent}", if at == 0 { "from" } else { "merge" }).unwrap();
            }
            let content = format!("{n}\n");
            writeln!(text, "M 100644 inline f{}\ndata {}\n{content}", n % 9, content.len()).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
        for branch in 0..branches {
            let tip = commits - u32::try_from(random.below(u64::from(commits.min(60)))).unwrap();
            write!(stream, "reset refs/heads/b{branch}\nfrom :{tip}\n\n").unwrap();
        }
    });
    repository.git(&["symbolic-ref", "HEAD", "refs/heads/b0"]);
    repository
}

/// xorshift64*: a fixed sequence for a seed.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
}

fn import(repository: &Repository, write: impl FnOnce(&mut BufWriter<std::process::ChildStdin>)) {
    let mut child =
        command(&repository.path).args(["fast-import", "--quiet", "--done"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stream = BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
    write(&mut stream);
    stream.write_all(b"done\n").unwrap();
    stream.flush().unwrap();
    drop(stream);
    assert!(child.wait().unwrap().success(), "git fast-import failed");
}
