//! `coafi federated verify`.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::app;
use crate::cli::{Context, Exit, Failure};

/// Whether an envelope would be taken, and what is in it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi federated verify aero envelope.jwt
  coafi federated verify aero envelope.jwt --at 2026-01-31T12:00:00Z --output json

Exit codes: 0 it would be taken, 1 it is refused, or cannot be read, 2 the domain has no keys.")]
pub(in crate::cli) struct Verify {
    /// The domain that is to have signed it.
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// The envelope; by default it is read from stdin.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// As if it were this time.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Of what is read; more is no envelope.
const BYTES_MAX: u64 = 4 << 20;

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let verifier = app::verifier(&context.settings().federated);
        if !verifier.knows(&self.domain) {
            let message = format!("domain {:?} has no keys", self.domain);
            return Err(Failure::usage(message).next("set them in federated.domains; see docs/federated.md"));
        }
        let mut envelope = Vec::new();
        let read = match &self.file {
            Some(file) => std::fs::File::open(file).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut envelope)),
            None => std::io::stdin().take(BYTES_MAX).read_to_end(&mut envelope),
        };
        read.map_err(|error| Failure::failed("the envelope cannot be read").because(error))?;
        let verified = verifier.verify(&self.domain, &envelope, self.at.unwrap_or_else(Timestamp::now));
        let message = verified.map_err(|refused| Failure::failed(refused.to_string()))?.message;
        context.output().show(&message, |message| {
            let key = message.authentication.key_id.as_deref().unwrap_or_default();
            format!(
                "{} {} of {}, signed with {key}\n{}",
                message.message_type, message.message_id, message.source_domain, message.payload
            )
        })?;
        Ok(Exit::Ok)
    }
}
