//! The services as containers, through Docker Compose and the repository's compose.yaml.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::Service;

const COMPOSE_FILE: &str = include_str!("../../compose.yaml");
/// Chooses `docker` or `native`; without it, Docker is used where it answers.
const BACKEND_VARIABLE: &str = "COAFI_STACK";

/// Whether servers are to be containers. An unknown choice in `COAFI_STACK` is an error.
pub(crate) fn chosen() -> Result<bool> {
    match env::var(BACKEND_VARIABLE).as_deref() {
        Ok("docker") => Ok(true),
        Ok("native") => Ok(false),
        Ok("") | Err(_) => Ok(answers()),
        Ok(other) => bail!("{BACKEND_VARIABLE} is {other:?}; allowed are docker and native"),
    }
}

/// Whether both the Docker daemon and its compose plugin answer.
fn answers() -> bool {
    let succeeds = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        docker.status().is_ok_and(|status| status.success())
    };
    succeeds(&["info", "--format", "{{.ServerVersion}}"]) && succeeds(&["compose", "version"])
}

/// A Compose project: one service of it for a test's own server, all of them for a named stack.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) name: String,
    /// The port on this machine of each service that is to run.
    pub(crate) ports: Vec<(Service, u16)>,
}

impl Project {
    /// Runs `docker compose ARGUMENTS` on this project; its output becomes the error when it fails.
    pub(crate) fn compose(&self, arguments: &[&str]) -> Result<String> {
        let mut docker = Command::new("docker");
        docker.args(["compose", "--project-name", &self.name, "--file", "-"]).args(arguments);
        for (service, port) in &self.ports {
            docker.env(format!("COAFI_{}_PORT", service.name().to_uppercase()), port.to_string());
        }
        docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = docker.spawn().context("run docker")?;
        child.stdin.take().context("its standard input is a pipe")?.write_all(COMPOSE_FILE.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker compose {} failed:\n{}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Creates and starts `service`, or starts it again.
    pub(crate) fn up(&self, service: Service) -> Result<()> {
        self.compose(&["up", "--detach", service.name()]).map(drop)
    }

    /// Stops and removes everything of this project, paused or not, after `grace_s` seconds at the latest.
    pub(crate) fn down(&self, grace_s: u32) -> Result<()> {
        // A paused container takes no signal. One that is not paused makes this fail, which says nothing.
        let _ = self.compose(&["unpause"]);
        self.compose(&["down", "--volumes", "--timeout", &grace_s.to_string()]).map(drop)
    }

    pub(crate) fn runs(&self, service: Service) -> bool {
        self.compose(&["ps", "--status", "running", "--quiet", service.name()]).is_ok_and(|ids| !ids.trim().is_empty())
    }

    pub(crate) fn log_tail(&self, service: Service) -> String {
        self.compose(&["logs", "--no-color", "--tail", "20", service.name()]).unwrap_or_default()
    }
}
