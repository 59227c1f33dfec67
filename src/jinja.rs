//! Templates of texts that people write in COAFI's files: Jinja, bounded.
//!
//! The same values give the same text: no clock, no I/O. What a text may be filled with and how it is escaped is its owner's.

use std::error::Error as _;
use std::{fmt, io};

use minijinja::value::Serde;
use minijinja::{Environment, Error, Template, UndefinedBehavior, Value};
use serde::Serialize;

/// Calls within each other.
const DEPTH_MAX: usize = 32;

/// Without templates. A filling that takes more steps than `fuel` is stopped, and so is one that reads what is not there.
pub(crate) fn environment(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(fuel));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

/// # Errors
/// It cannot be filled with this, or gives more than `bytes_max`.
pub(crate) fn fill(template: &Template<'_, '_>, values: &impl Serialize, bytes_max: usize) -> Result<String, Error> {
    let mut bounded = Bounded { bytes: Vec::new(), bytes_max };
    template.render_captured_to(Value::from(Serde(values)), &mut bounded)?;
    Ok(String::from_utf8_lossy(&bounded.bytes).into_owned())
}

/// What is wrong; where is [`Error::line`].
pub(crate) fn message(error: &Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{}{detail}{cause}", error.kind())
}

struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::Error::other(Full { bytes_max: self.bytes_max }));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Full {
    bytes_max: usize,
}

impl std::error::Error for Full {}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it gives more than {} bytes", self.bytes_max)
    }
}
