//! What a person sees of `coafi dev` and at the end of `coafi consume`: a notice, a progress bar, a table, a line per
//! arrival. With `--output json` the last line of stdout is the summary, and nothing else is on stdout.

use std::io;
use std::time::Duration;

use crate::cli::output::table;
use crate::cli::{Bar, Format, Output};
use crate::runtime::{Events, FileCounts, Summary};

/// Shows a run. The caller asks the roles how far they are and hands over snapshots.
#[derive(Debug)]
pub struct Face {
    output: Output,
    bar: Option<Bar>,
}

/// An event that arrived and ended while the run was watching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Object id of the commit, whole.
    pub commit: String,
    pub branch: String,
    pub files: u64,
    /// `processed`, `dead-lettered`, …
    pub outcome: &'static str,
    /// From its appearance in the repository, as far as is known, to its commit.
    pub took: Duration,
}

impl Face {
    #[must_use]
    pub fn new(output: &Output) -> Self {
        Self { output: output.clone(), bar: None }
    }

    /// Says what is being started over, and what the embedded cluster does not promise.
    pub fn starting(&mut self, repositories: &[String]) {
        self.output.remark(&format!("coafi dev: every commit of {} as an event", repositories.join(", ")));
        self.output.remark(
            "The embedded Kafka cluster delivers at least once, holds at most 5 MB or 100,000 records per partition, and \
             is gone at exit. `make up` and `coafi consume` are the real thing.",
        );
    }

    /// Shows how far the run is; `total` is the number of events to come to an end, once it is known.
    pub fn progress(&mut self, summary: &Summary, total: Option<u64>) {
        let bar = self.bar.get_or_insert_with(|| self.output.bar("events", total));
        bar.set(summary.events.ended(), total, format!("{}/s", grouped(summary.events_per_s() as u64)));
    }

    /// Ends the progress bar and shows the summary: the last thing on stdout.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn finished(&mut self, summary: &Summary) -> io::Result<()> {
        self.bar = None;
        self.output.show(summary, summary_table)
    }

    /// Shows the table after the history is handled, when the run goes on watching.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn caught_up(&mut self, summary: &Summary) -> io::Result<()> {
        self.bar = None;
        match self.output.format() {
            Format::Table => self.output.line(&summary_table(summary))?,
            Format::Json => {}
        }
        self.output.remark("Watching for commits; Ctrl-C ends.");
        Ok(())
    }

    /// One line per event that came while watching.
    pub fn arrived(&self, arrived: &Arrived) {
        self.output.remark(&arrived.to_string());
    }
}

impl std::fmt::Display for Arrived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { commit, branch, files, outcome, took } = self;
        let (short, s) = (commit.get(..7).unwrap_or(commit), if *files == 1 { "" } else { "s" });
        write!(f, "commit {short} on {branch}: {files} file{s}, {outcome} in {} ms", took.as_millis())
    }
}

/// Events by outcome.
pub(in crate::cli) fn events_table(events: &Events) -> String {
    let counts = [
        ("polled", events.polled),
        ("processed", events.processed),
        ("duplicate", events.duplicate),
        ("filtered", events.filtered),
        ("retried", events.retried),
        ("dead-lettered", events.dead_lettered),
        ("unprocessed", events.unprocessed),
    ];
    table(&["events", ""], 1, counts.map(|(name, count)| [name.to_owned(), grouped(count)]))
}

fn summary_table(summary: &Summary) -> String {
    let events = events_table(&summary.events);
    let files = summary.files;
    let file_row =
        |(name, counts): (&str, FileCounts)| [name.to_owned(), grouped(counts.valid), grouped(counts.invalid)];
    let by_type = [
        ("markdown", files.markdown),
        ("yaml_config", files.yaml_config),
        ("json_data", files.json_data),
        ("unknown", files.unknown),
    ];
    let files = table(&["files", "valid", "invalid"], 1, by_type.map(file_row));
    let rest = [
        ("artifacts", grouped(summary.artifacts)),
        ("audit records", grouped(summary.audit_records)),
        ("lag", grouped(summary.lag)),
        ("seconds", format!("{:.1}", summary.seconds)),
        ("events/s", grouped(summary.events_per_s() as u64)),
    ];
    let rest = table(&["run", ""], 1, rest.map(|(name, value)| [name.to_owned(), value]));
    [events, files, rest].join("\n\n")
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::runtime::Files;

    #[test]
    fn the_table_shows_every_number() {
        let summary = Summary {
            events: Events { polled: 12_345, processed: 12_000, duplicate: 300, unprocessed: 45, ..Events::default() },
            files: Files { markdown: FileCounts { valid: 7, invalid: 1 }, ..Files::default() },
            artifacts: 7,
            audit_records: 13_000,
            lag: 0,
            seconds: 12.34,
        };
        expect![[r#"
            events
            polled         12,345
            processed      12,000
            duplicate         300
            filtered            0
            retried             0
            dead-lettered       0
            unprocessed        45

            files        valid  invalid
            markdown         7        1
            yaml_config      0        0
            json_data        0        0
            unknown          0        0

            run
            artifacts           7
            audit records  13,000
            lag                 0
            seconds          12.3
            events/s        1,000"#]]
        .assert_eq(&summary_table(&summary));
    }

    #[test]
    fn an_arrival_is_one_line() {
        let arrived = Arrived {
            commit: "abc1234def".into(),
            branch: "main".into(),
            files: 3,
            outcome: "processed",
            took: Duration::from_millis(120),
        };
        assert_eq!(arrived.to_string(), "commit abc1234 on main: 3 files, processed in 120 ms");
        assert_eq!(Arrived { files: 1, ..arrived }.to_string(), "commit abc1234 on main: 1 file, processed in 120 ms");
    }
}
