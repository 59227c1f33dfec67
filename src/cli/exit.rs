//! How a command ends: exit codes, and errors as people read them.

use std::error::Error;
use std::process::ExitCode;

use crate::config::ConfigError;

/// The exit codes that `coafi --help` documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the answer is yes.
    Ok,
    /// It failed, or the answer is no.
    No,
    /// The command line or the configuration is wrong.
    Usage,
    /// Something that the command needs does not answer.
    Unavailable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 3,
        })
    }
}

/// Why a command did not do what it was asked: one sentence, its causes, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    exit: Exit,
    source: Option<Box<dyn Error + Send + Sync>>,
    next: Option<String>,
}

impl Failure {
    /// Exit code 1.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(message, Exit::No)
    }

    /// Exit code 2.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message, Exit::Usage)
    }

    /// Exit code 3.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(message, Exit::Unavailable)
    }

    fn new(message: impl Into<String>, exit: Exit) -> Self {
        Self { message: message.into(), exit, source: None, next: None }
    }

    /// Adds the cause, which is printed with its own causes.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do next, as an instruction.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Says first what had been done by then.
    #[must_use]
    pub fn after(mut self, done: &str) -> Self {
        self.message = format!("{done}; then: {}", self.message);
        self
    }

    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes the failure to stderr, unless the reader of stdout has simply gone away.
    pub fn report(&self) {
        if self.exit != Exit::Ok {
            // Nobody can be told that stderr is closed.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), self.text().as_bytes());
        }
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut said = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Many errors repeat their cause in their own message.
            if !said.contains(&message) {
                text.push_str(&format!("  because: {message}\n"));
                said = message;
            }
            cause = error.source();
        }
        if let Some(next) = &self.next {
            text.push_str(&format!("  next: {next}\n"));
        }
        text
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // `coafi ... | head` closes our stdout: the reader has all that it wanted.
        let exit = if error.kind() == std::io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::No };
        Self::new("the result cannot be written", exit).because(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let next = match &error {
            ConfigError::Missing { .. } => "name an existing file, or none to run with the defaults",
            ConfigError::Unreadable { .. } => "make the file readable for this user",
            ConfigError::Syntax { .. } => "correct the file; it is a YAML mapping, see docs/configuration.md",
            ConfigError::Invalid(_) => "correct what is named above; docs/configuration.md lists every key",
        };
        let source = match error {
            ConfigError::Unreadable { source, path } => {
                let message = format!("configuration file {} cannot be read", path.display());
                return Self::usage(message).because(source).next(next);
            }
            other => other,
        };
        Self::usage(source.to_string()).next(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_sentence_causes_and_next_step() {
        let source = anyhow::Error::new(std::io::Error::other("connection refused")).context("broker 127.0.0.1:9092");
        let failure = Failure::unavailable("Kafka does not answer").because(source).next("start it with `make up`");
        let expected = "error: Kafka does not answer\n  because: broker 127.0.0.1:9092\n  because: connection refused\n  \
                        next: start it with `make up`\n";
        assert_eq!(failure.text(), expected);
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(gone).exit(), Exit::Ok);
        assert_eq!(Failure::from(std::io::Error::other("disk full")).exit(), Exit::No);
    }
}
