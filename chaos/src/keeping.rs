//! What is kept of a run for whoever has to find out what happened: the servers go, and their topics and tables with them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::reconcile::Evidence;
use crate::servers::Servers;

/// What Kafka's coordinator says when it gives up the markers of a transaction.
const DROPPED_MARKERS: &str = "likely deleted already and hence can be skipped";

/// The servers' logs. How often brokers say that they dropped markers.
pub(crate) fn logs(servers: &mut Servers, directory: &Path) -> Result<usize> {
    let mut dropped = 0;
    for (number, broker) in servers.kafka.all().iter().enumerate() {
        let Some(log) = broker.log_path() else { continue };
        let kept = directory.join(format!("kafka-{number}.log"));
        std::fs::copy(log, &kept).context("keep a broker's log")?;
        dropped += String::from_utf8_lossy(&std::fs::read(&kept)?).matches(DROPPED_MARKERS).count();
    }
    if let Some(log) = servers.postgres.log_path() {
        std::fs::copy(log, directory.join("postgres.log")).context("keep the database's log")?;
    }
    Ok(dropped)
}

/// Outcomes in `outcomes.txt` and what handlers wrote in `rows.txt`, one a line.
pub(crate) fn evidence(evidence: &Evidence, directory: &Path) -> Result<()> {
    let mut outcomes = BufWriter::new(File::create(directory.join("outcomes.txt"))?);
    for outcome in &evidence.outcomes {
        writeln!(outcomes, "{outcome:?}")?;
    }
    let mut rows = BufWriter::new(File::create(directory.join("rows.txt"))?);
    for row in &evidence.rows {
        writeln!(rows, "{row:?}")?;
    }
    outcomes.flush()?;
    Ok(rows.flush()?)
}
