//! Asks a server, in its own protocol, whether it is ready to serve. An accepted connection is not enough: a broker
//! listens before it is part of its own cluster, and Postgres while it still recovers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Bounds one probe: connecting, writing and reading.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// No answer to a probe is longer than this.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Waits until `ready` says so, at most `limit`. An error of `ready` ends the wait.
pub(crate) fn wait_until(limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if ready()? {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "not within {} s", limit.as_secs());
        thread::sleep(PROBE_INTERVAL);
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PROBE_LIMIT)?;
    stream.set_read_timeout(Some(PROBE_LIMIT))?;
    stream.set_write_timeout(Some(PROBE_LIMIT))?;
    Ok(stream)
}

/// Whether a broker is part of its cluster.
pub(crate) fn kafka(port: u16) -> Result<()> {
    ensure!(kafka_brokers(port)? > 0, "the broker is not yet part of its cluster");
    Ok(())
}

/// How many brokers its cluster has, by a Metadata request (version 4, no topics). One that is fenced is not among them.
pub(crate) fn kafka_brokers(port: u16) -> Result<usize> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 4;
    const CORRELATION: i32 = 1;
    let mut request = Vec::new();
    request.extend(METADATA.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend((-1_i16).to_be_bytes()); // no client id
    request.extend(0_i32.to_be_bytes()); // no topics
    request.push(0); // and none created

    let mut stream = connect(port)?;
    stream.write_all(&i32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!(length <= ANSWER_MAX_BYTES, "an answer of {length} bytes is not Kafka's");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    // The correlation id, the throttle time, and then the number of brokers, 4 bytes each.
    let brokers = answer.get(8..12).context("an answer cut short")?;
    Ok(usize::try_from(i32::from_be_bytes(brokers.try_into()?))?)
}

/// A GET that is answered with 200.
pub(crate) fn http(url: &str) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PROBE_LIMIT)).build().into();
    let status = agent.get(url).call()?.status();
    ensure!(status == 200, "{url} answers {status}");
    Ok(())
}

/// A StartupMessage (protocol 3.0) as user and database `coafi`, which a ready server answers with an authentication
/// request or its success, and one that is still starting with an error.
pub(crate) fn postgres(port: u16) -> Result<()> {
    let mut message = Vec::from(0x0003_0000_i32.to_be_bytes());
    message.extend(b"user\0coafi\0database\0coafi\0\0");
    let mut stream = connect(port)?;
    stream.write_all(&i32::try_from(message.len() + 4)?.to_be_bytes())?;
    stream.write_all(&message)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    if kind != *b"R" {
        bail!("the server refuses connections");
    }
    Ok(())
}
