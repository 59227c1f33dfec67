//! What every command gets: settings, and where to write.

use std::collections::BTreeMap;

use super::{Failure, Global, Output};
use crate::config::{Entry, Loaded, Settings, Sources, load};
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

    #[must_use]
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// Starts logging, metrics and exporters; for commands that keep running.
    ///
    /// # Errors
    /// Log directives or OTEL_ variables that cannot be followed: exit code 2.
    pub fn start_telemetry(&self) -> Result<Telemetry, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::usage(error.to_string()).next("see docs/observability.md for what is supported")
        };
        let targets = Targets::from_environment(&self.environment).map_err(|error| wrong(&error))?;
        let settings = self.settings();
        let writer = LogWriter::above(self.output.bars());
        Telemetry::start(&settings.log, &settings.service_name, &targets, writer).map_err(|error| wrong(&error))
    }
}
