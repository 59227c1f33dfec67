//! A deployment of its own: its topics and tables, an API with a key that may everything, and a webhook.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::load::Target;
use crate::process::Measured;
use crate::{Options, broker};

const SECRET: &str = "a secret of the benchmark's own";
/// Lines of a log within which an address has to be.
const LINES_MAX: usize = 200;

pub(super) struct Setup<'a> {
    options: &'a Options,
    directory: PathBuf,
    stamp: u128,
    key: String,
}

pub(super) struct Served {
    pub(super) target: Target,
    pub(super) process: Measured,
}

impl<'a> Setup<'a> {
    pub(super) fn prepare(options: &'a Options) -> anyhow::Result<Self> {
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let directory = std::env::temp_dir().join(format!("coafi-bench-api-{stamp}"));
        std::fs::create_dir_all(&directory)?;
        let made = Command::new(&options.binary)
            .args(["api", "key", "bench", "--permission", "api:*", "--output", "json"])
            .output()
            .with_context(|| format!("{} does not start", options.binary))?;
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).context("coafi api key")?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).with_context(|| format!("{made} has no {name}"));
        let setup = Self { options, directory, stamp, key: text("key")? };
        setup.configure(&text("sha256")?)?;
        setup.coafi(&["topics", "apply", "--replication-factor", "1"])?;
        setup.coafi(&["schemas", "register"])?;
        Ok(setup)
    }

    fn configure(&self, sha256: &str) -> anyhow::Result<()> {
        let Options { kafka, registry, postgres, .. } = self.options;
        let (directory, stamp) = (self.directory.display(), self.stamp);
        std::fs::write(self.directory.join("secret"), SECRET)?;
        std::fs::write(self.directory.join("routes.yaml"), include_str!("routes.yaml"))?;
        let config = format!(
            "kafka: {{ bootstrap_servers: \"{kafka}\", group_id: bench-api-{stamp}, slot: bench, start: latest }}\n\
             schema_registry: {{ url: \"{registry}\" }}\n\
             database: {{ url: \"{postgres}\" }}\n\
             artifacts: {{ url: \"{directory}/artifacts\" }}\n\
             routes_file: {directory}/routes.yaml\n\
             http: {{ listen: \"127.0.0.1:0\" }}\nlog: {{ level: info }}\n\
             api:\n  listen: 127.0.0.1:0\n  rate_limit: {{ per_second: 1000000, burst: 1000000 }}\n  \
             keys: [{{ principal: bench, sha256: {sha256}, permissions: [\"api:*\"] }}]\n  \
             webhooks: [{{ name: orders, kind: hmac, secret_file: {directory}/secret, header: X-Signature, prefix: \"sha256=\" }}]\n"
        );
        std::fs::write(self.directory.join("coafi.yaml"), config)?;
        Ok(())
    }

    pub(super) fn kafka(&self) -> &str {
        &self.options.kafka
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.binary);
        command.arg("--config").arg(self.directory.join("coafi.yaml")).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn coafi(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let ended = self.command(arguments).output()?;
        anyhow::ensure!(
            ended.status.success(),
            "coafi {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&ended.stderr)
        );
        Ok(())
    }

    pub(super) fn api(&self) -> anyhow::Result<Served> {
        let mut process = Measured::start(&mut self.command(&["api"]))?;
        let said = BufReader::new(process.stderr().context("no standard error")?);
        let line = said_line(said, "\"serving the API\"")?;
        let line: serde_json::Value = serde_json::from_str(&line)?;
        let address = line["address"].as_str().with_context(|| format!("{line} has no address"))?;
        Ok(Served { target: self.target(address, "api")?, process })
    }

    pub(super) fn bare(&self) -> anyhow::Result<Served> {
        let topic = format!("bench.{}.bare", self.stamp);
        broker::create(&self.options.kafka, &[(&topic, 12)])?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--kafka", &self.options.kafka, "bare-api", &topic]).stdout(Stdio::piped());
        let mut process = Measured::start(&mut command)?;
        let address = said_line(BufReader::new(process.stdout().context("no standard output")?), "127.0.0.1:")?;
        Ok(Served { target: self.target(address.trim(), "bare")?, process })
    }

    fn target(&self, address: &str, name: &str) -> anyhow::Result<Target> {
        let run = format!("{name}-{}", self.stamp);
        Target::new(format!("http://{address}"), self.key.clone(), SECRET.as_bytes(), run)
    }
}

impl Drop for Setup<'_> {
    fn drop(&mut self) {
        // What is left in the temporary directory is the system's to clear.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The first line with this in it. What comes later is read and dropped: nobody is to wait for room in the pipe.
pub(super) fn said_line(mut from: impl std::io::BufRead + Send + 'static, what: &str) -> anyhow::Result<String> {
    let mut said = String::new();
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            break;
        }
        if line.contains(what) {
            std::thread::spawn(move || std::io::copy(&mut from, &mut std::io::sink()));
            return Ok(line);
        }
        said.push_str(&line);
    }
    anyhow::bail!("{what} is not said: {said}")
}
