//! `coafi federated keygen`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{Context, Exit, Failure};
use crate::connectors::federated::PrivateKey;

/// Make a key pair: the private key into a file, the public one to stdout as it is configured.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi federated keygen aero-1 --out aero-1.pem
  coafi federated keygen aero-2 --out aero-2.pem --output json

Exit codes: 0 made, 1 the file cannot be written, or is there already.")]
pub(in crate::cli) struct Keygen {
    /// How envelopes name the key.
    #[arg(value_name = "KID")]
    kid: String,
    /// Where the private key goes (PEM, PKCS #8); nobody else may read it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Nobody but the owner reads or writes it.
const MODE: u32 = 0o600;

impl Keygen {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = PrivateKey::generate();
        write(&self.out, &key.pem()).map_err(|error| {
            Failure::failed(format!("{} cannot be written", self.out.display()))
                .because(error)
                .next("name a file that is not there")
        })?;
        let public = key.public().text();
        let shown = serde_json::json!({"kid": self.kid, "publicKey": public, "pem": key.public().pem()});
        context.output().show(&shown, |_| {
            let kid = serde_json::to_string(&self.kid).unwrap_or_default();
            format!(
                "The private key is in {}. Whoever takes messages of its domain writes under keys:\n  - kid: {kid}\n    public_key: {public}",
                self.out.display()
            )
        })?;
        Ok(Exit::Ok)
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?.write_all(text.as_bytes())
}
