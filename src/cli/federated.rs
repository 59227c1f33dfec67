//! `coafi federated`.

mod keygen;
mod sign;
mod verify;

use clap::Subcommand;

use super::{Context, Exit, Failure};

/// Other domains: keys, and the envelopes that are signed with them.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi federated keygen aero-1 --out aero-1.pem
  coafi federated sign --key aero-1.pem --kid aero-1 --domain aero --type SystemUpdateNotification \\
    --data '{\"system\": \"telemetry\", \"version\": \"2.1.0\"}' > envelope.jwt
  coafi federated verify aero envelope.jwt

`coafi connect federated` reads domains' topics, `coafi api` takes what they push; docs/federated.md says how they are configured.")]
pub(super) enum Federated {
    Keygen(keygen::Keygen),
    Sign(sign::Sign),
    Verify(verify::Verify),
}

impl Federated {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Keygen(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Verify(command) => command.run(context),
        }
    }
}
