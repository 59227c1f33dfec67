//! Ports: free ones, and who holds one that is not.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::probe;

/// Where free ports are looked for: below Linux's ephemeral range (from 32768). A client that keeps connecting to the port
/// of a stopped server in that range may be given that very port as its own, connect to itself, and keep the server out.
const FREE_PORTS: Range<u16> = 16_000..32_000;

/// `count` different ports that are free now. Each process begins at a random place, so that those that start servers at the
/// same time do not meet, and goes on from there: the place of a server that is away for a while is not given to another.
pub(crate) fn free(count: usize) -> Result<Vec<u16>> {
    static NEXT: LazyLock<AtomicUsize> =
        LazyLock::new(|| AtomicUsize::new(RandomState::new().build_hasher().finish() as usize % FREE_PORTS.len()));
    let next = || usize::from(FREE_PORTS.start) + NEXT.fetch_add(1, Ordering::Relaxed) % FREE_PORTS.len();
    let looked_at = std::iter::repeat_with(next).take(FREE_PORTS.len()).filter_map(|port| u16::try_from(port).ok());
    let ports: Vec<u16> = looked_at.filter(|port| is_free(*port)).take(count).collect();
    ensure!(ports.len() == count, "no {count} free ports from {} to {}", FREE_PORTS.start, FREE_PORTS.end);
    Ok(ports)
}

/// An address of this machine where nobody listens, nor will without having asked for it: no client is given its port, and
/// nobody else in this process.
///
/// # Errors
/// No port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free(1)?[0]).into())
}

/// How long [`listen`] waits for a port that is taken.
const LISTEN_LIMIT: Duration = Duration::from_secs(5);

/// Listens at an address that nobody else uses. Whoever has just looked whether it is free, or has just stopped listening, may find
/// it taken for a moment: a process that was forked meanwhile holds the socket until it becomes another program.
///
/// # Errors
/// It is taken, or no address of this machine.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let mut listener = None;
    let listening = probe::wait_until(LISTEN_LIMIT, || match TcpListener::bind(address) {
        Ok(bound) => {
            listener = Some(bound);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error.into()),
    });
    listening.with_context(|| format!("{address} cannot be listened at; held by {}", holder(address.port())))?;
    listener.context("it was bound")
}

/// Whether a server could bind `port` now (std's listener sets `SO_REUSEADDR`, as the servers do).
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Who listens on `port`, as far as this user may see: `java (pid 4711)`.
pub(crate) fn holder(port: u16) -> String {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port));
    match inode.and_then(process_with_socket) {
        Some(holder) => holder,
        None => "a process of another user".to_owned(),
    }
}

/// The socket inode of the line of /proc/net/tcp that listens on `port`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let local_port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&local_port) && *state == LISTEN).then(|| inode.parse().ok()).flatten()
    })
}

fn process_with_socket(inode: u64) -> Option<String> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd")).ok()?.flatten().any(|fd| {
            let target = fs::read_link(fd.path());
            target.is_ok_and(|to| to.as_os_str().to_str().is_some_and(|to| to.starts_with("socket:")))
                && fs::metadata(fd.path()).is_ok_and(|socket| socket.ino() == inode)
        });
        holds.then(|| format!("{} (pid {pid})", command_name(&entry.path())))
    })
}

fn command_name(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert!(holder(port).contains(&format!("(pid {})", std::process::id())), "{}", holder(port));
        drop(listener);
        assert!(is_free(port));
    }

    #[test]
    fn free_ports_differ() {
        let mut ports = [free(8).unwrap(), free(8).unwrap()].concat();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 16, "nor is one given again that nobody has taken");
    }
}
