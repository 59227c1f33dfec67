//! What every command gets: settings, and where to write.

use std::collections::BTreeMap;

use super::{Failure, Global, Output};
use crate::app::{self, Places};
use crate::config::{Entry, Loaded, Log, Settings, Sources, load};
use crate::schema::{Codec, registry};
use crate::telemetry::{LogWriter, Targets, Telemetry};

/// The loaded configuration and the output of one command.
#[derive(Debug)]
pub struct Context {
    loaded: Loaded,
    environment: BTreeMap<String, String>,
    output: Output,
}

impl Context {
    /// # Errors
    /// A configuration that cannot be used: exit code 2.
    pub fn load(global: &Global) -> Result<Self, Failure> {
        let sources = Sources::of_process(global.config.clone());
        let loaded = load(&sources)?;
        Ok(Self { loaded, environment: sources.environment, output: Output::new(global.output, global.quiet) })
    }

    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Every setting with its origin.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.loaded.entries
    }

    /// Those of `keys` that a file or the environment sets.
    #[must_use]
    pub fn configured<'a>(&self, keys: &[&'a str]) -> Vec<&'a str> {
        let is_set = |key: &&str| self.entries().iter().any(|entry| entry.key == *key && entry.origin != "default");
        keys.iter().copied().filter(is_set).collect()
    }

    #[must_use]
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// Where everything is, as configured.
    #[must_use]
    pub fn places(&self) -> Places {
        Places::configured(&self.loaded.settings)
    }

    /// Encodes and decodes event data with the configured schema registry.
    ///
    /// # Errors
    /// An address that is none; a schema of `avro_dir` that cannot be used.
    pub fn codec(&self) -> Result<Codec, Failure> {
        let client = registry::Client::new(self.places().registry).map_err(anyhow::Error::new)?;
        let schemas = app::schemas(self.settings()).map_err(anyhow::Error::new)?;
        Ok(Codec::of(client, schemas, self.settings().schema_registry.auto_register))
    }

    /// Whether spans are exported by OTLP.
    #[must_use]
    pub fn exports_spans(&self) -> bool {
        Targets::from_environment(&self.environment).is_ok_and(|targets| targets.traces.is_some())
    }

    /// Starts logging, metrics and exporters; for commands that keep running.
    ///
    /// # Errors
    /// Log directives or OTEL_ variables that cannot be followed: exit code 2.
    pub fn start_telemetry(&self) -> Result<Telemetry, Failure> {
        self.start_telemetry_with(&self.settings().log)
    }

    /// As [`Self::start_telemetry`], logging only `level` unless a level is configured: for commands that show people
    /// something better than log lines.
    ///
    /// # Errors
    /// As [`Self::start_telemetry`].
    pub fn start_quiet_telemetry(&self, level: &str) -> Result<Telemetry, Failure> {
        let mut log = self.settings().log.clone();
        if self.configured(&["log.level"]).is_empty() {
            level.clone_into(&mut log.level);
        }
        self.start_telemetry_with(&log)
    }

    fn start_telemetry_with(&self, log: &Log) -> Result<Telemetry, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::usage(error.to_string()).next("see docs/observability.md for what is supported")
        };
        let targets = Targets::from_environment(&self.environment).map_err(|error| wrong(&error))?;
        let writer = LogWriter::above(self.output.bars());
        Telemetry::start(log, &self.settings().service_name, &targets, writer).map_err(|error| wrong(&error))
    }
}
