//! Postgres: user and database `coafi`, no password, TCP on this machine only. It refuses to run as root, so root runs
//! it as `postgres` or, without such a user, as `nobody`.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{artifacts, run};

/// Where Debian and Ubuntu install a directory per major version.
const PACKAGED: &str = "/usr/lib/postgresql";

pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let user = other_user()?;
    let bin = binaries(directory, user.is_some())?;
    let data = directory.join("data");
    if !data.exists() {
        initialise(&bin, user.as_ref(), directory, &data)?;
    }
    let mut postgres = run_as(user.as_ref(), &bin.join("postgres"));
    postgres.arg("-D").arg(data);
    // No fsync: it guards against a crash of the machine, and what is tested here are crashes of processes.
    let port = format!("port={port}");
    for setting in ["listen_addresses=127.0.0.1", &port, "unix_socket_directories=", "fsync=off", "max_connections=200"]
    {
        postgres.args(["-c", setting]);
    }
    postgres.current_dir(directory);
    Ok(postgres)
}

/// Prepares `directory` for a server that has this certificate.
pub(crate) fn prepare_with_certificate(directory: &Path, port: u16, certificate: &Path, key: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    command(directory, port)?;
    let data = directory.join("data");
    let owner = fs::metadata(&data)?;
    for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
        let to = data.join(name);
        fs::copy(from, &to).with_context(|| format!("copy {}", from.display()))?;
        // It takes no key that others may read, nor one of somebody else.
        fs::set_permissions(&to, Permissions::from_mode(0o600))?;
        chown(&to, Some(owner.uid()), Some(owner.gid()))?;
    }
    let mut settings = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
    Ok(settings.write_all(b"ssl = on\n")?)
}

/// Makes the data directory with its database under another name, and renames it once it is complete.
fn initialise(bin: &Path, user: Option<&User>, directory: &Path, data: &Path) -> Result<()> {
    let draft = directory.join("data.draft");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir(&draft)?;
    if let Some(User { uid, gid }) = user {
        run(Command::new("chown").arg(format!("{uid}:{gid}")).arg(&draft))?;
    }
    let mut initdb = run_as(user, &bin.join("initdb"));
    initdb.arg("-D").arg(&draft).args(["-U", "coafi", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]);
    run(initdb.current_dir("/"))?;
    create_database(bin, user, &draft)?;
    Ok(fs::rename(&draft, data)?)
}

/// In single-user mode, so that no server has to be started and stopped for it.
fn create_database(bin: &Path, user: Option<&User>, data: &Path) -> Result<()> {
    let mut single = run_as(user, &bin.join("postgres"));
    single.arg("--single").arg("-D").arg(data).arg("postgres").current_dir("/");
    let mut single = single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    single.stdin.take().context("its standard input is a pipe")?.write_all(b"CREATE DATABASE coafi;\n")?;
    let output = single.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("ERROR"), "create the database coafi: {said}");
    Ok(())
}

/// The newest packaged version, else downloaded ones. Another user may not be able to enter this one's cache, so it gets
/// a copy beside its data.
fn binaries(directory: &Path, other_user: bool) -> Result<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let packaged = fs::read_dir(PACKAGED)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(|path| version(path));
    match packaged {
        Some(path) => Ok(path.join("bin")),
        None if other_user => copy_of(&artifacts::postgres()?, directory),
        None => Ok(artifacts::postgres()?.join("bin")),
    }
}

fn copy_of(downloaded: &Path, directory: &Path) -> Result<PathBuf> {
    let copy = directory.join("program");
    if !copy.exists() {
        run(Command::new("cp").arg("-r").arg(downloaded).arg(&copy))?;
    }
    Ok(copy.join("bin"))
}

/// `program`, run as `user`. setpriv(1) replaces itself by the program, so that the pid is the server's (runuser would
/// stay in between).
fn run_as(user: Option<&User>, program: &Path) -> Command {
    let Some(User { uid, gid }) = user else { return Command::new(program) };
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", uid, "--regid", gid, "--clear-groups", "--"]).arg(program);
    setpriv
}

struct User {
    uid: String,
    gid: String,
}

/// Whom root runs the server as; nobody else when this user is not root.
fn other_user() -> Result<Option<User>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let user = ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::to_owned);
        Some(User { uid: ids.next()?, gid: ids.next()? })
    });
    Ok(Some(user.context("/etc/passwd has neither postgres nor nobody, and Postgres does not run as root")?))
}
