//! Logs by tracing: to stderr, pretty on a terminal, JSON otherwise.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::TelemetryError;
use crate::config::{Log, LogFormat};

/// Variables that go before the configured level, in this order.
const FILTER_VARIABLES: [&str; 2] = ["RUST_LOG", "COAFI_LOG"];

/// What goes before every filter. Clients that answer for their errors themselves leave librdkafka's default callback, which
/// calls even the end of a partition an error, once per connection; whoever wants to see it names these targets. Of libraries whose
/// information is about themselves only warnings are wanted.
const QUIET: &str = "librdkafka=off,rdkafka=off,opentelemetry=warn,opentelemetry_sdk=warn,sqlx=warn";

/// Where log lines go: stderr, above the progress bars if there are any.
#[derive(Clone, Debug, Default)]
pub struct LogWriter {
    bars: Option<MultiProgress>,
}

impl LogWriter {
    /// Lines are written above these bars instead of through them.
    #[must_use]
    pub fn above(bars: MultiProgress) -> Self {
        Self { bars: Some(bars) }
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = StderrWriter;

    fn make_writer(&self) -> StderrWriter {
        StderrWriter { bars: self.bars.clone() }
    }
}

/// Writes one log line.
#[derive(Debug)]
pub struct StderrWriter {
    bars: Option<MultiProgress>,
}

impl Write for StderrWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.bars {
            Some(bars) => bars.suspend(|| io::stderr().write_all(line))?,
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

pub(super) fn start(log: &Log, writer: LogWriter, spans: Option<SdkTracer>) -> Result<(), TelemetryError> {
    let from_variable = FILTER_VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let directives = from_variable.unwrap_or_else(|| log.level.clone());
    let filter = EnvFilter::try_new(format!("{QUIET},{directives}"))
        .map_err(|error| TelemetryError::Filter { directives, message: error.to_string() })?;
    let pretty = match log.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if pretty {
        lines.with_ansi(io::stderr().is_terminal()).compact().boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    let spans = spans.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer));
    tracing_subscriber::registry()
        .with(filter)
        .with(spans)
        .with(lines)
        .try_init()
        .map_err(|_| TelemetryError::AlreadyStarted)
}
