//! A consumer that reads beside the group, one partition after another: made when it is needed, and replaced when it falls
//! silent.
//!
//! Seen with librdkafka 2.12 and three brokers: after some assignments a consumer fetches nothing any longer, whatever it is
//! assigned, and says nothing about it. Then the end of a partition would never be proven, and windows would stay empty.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rdkafka::consumer::BaseConsumer;

use super::DriverError;
use super::config::Config;
use super::context::Reporter;

pub(super) struct SideReader {
    config: Arc<Config>,
    purpose: &'static str,
    reporter: Reporter,
    reader: Option<BaseConsumer<Reporter>>,
    /// Closes the one before.
    closing: Option<JoinHandle<()>>,
}

impl SideReader {
    pub(super) const fn new(config: Arc<Config>, purpose: &'static str, reporter: Reporter) -> Self {
        Self { config, purpose, reporter, reader: None, closing: None }
    }

    /// Made now if there is none.
    pub(super) fn reader(&mut self) -> Result<&BaseConsumer<Reporter>, DriverError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let config = self.config.side_reader(self.purpose)?;
                config.create_with_context(self.reporter.clone()).map_err(DriverError::Client)?
            }
        };
        Ok(self.reader.insert(reader))
    }

    /// It did not answer in time: the next to read is another one. Closing takes for ever while no broker answers, so nobody
    /// waits for it; and as long as one is being closed, the next silent one stays in use.
    pub(super) fn replace(&mut self) {
        if self.closing.as_ref().is_some_and(|closing| !closing.is_finished()) {
            return;
        }
        if let Some(reader) = self.reader.take() {
            let close = thread::Builder::new().name("coafi-closing".to_owned());
            // Without a thread it is closed here.
            self.closing = close.spawn(move || drop(reader)).ok();
        }
    }
}
