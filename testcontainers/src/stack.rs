//! The three services under a name, on fixed ports, outliving whoever started them.
//!
//! A stack's directory holds `stack.json` (how it runs, and on which ports) and a directory per native service with its
//! data, log and pid file. A lock file beside it keeps two `up`s or an `up` and a `down` apart.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::docker::{self, Project};
use crate::server::{Backend, remove};
use crate::{Service, port};

/// Overrides where stacks are kept.
const DIRECTORY_VARIABLE: &str = "COAFI_STACK_DIR";

/// The port of each service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub kafka: u16,
    pub registry: u16,
    pub postgres: u16,
}

impl Ports {
    #[must_use]
    pub fn of(&self, service: Service) -> u16 {
        match service {
            Service::Kafka => self.kafka,
            Service::Registry => self.registry,
            Service::Postgres => self.postgres,
        }
    }
}

/// A stack by its name, whether it runs or not.
#[derive(Clone, Debug)]
pub struct Stack {
    name: String,
    directory: PathBuf,
}

/// What [`Stack::up`] found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// Everything ran and answered already.
    Already,
    Now,
}

/// One service of a stack, as [`Stack::status`] saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub service: Service,
    pub address: String,
    pub runs: bool,
    pub answers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    runs_in: RunsIn,
    ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RunsIn {
    Native,
    Docker,
}

impl Stack {
    /// `name` becomes a directory and a Compose project: lowercase letters, digits and dashes.
    pub fn named(name: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed);
        ensure!(valid, "stack name {name:?}: allowed are lowercase letters, digits and dashes, not a dash first");
        Ok(Self { name: name.to_owned(), directory: stacks_directory()?.join(name) })
    }

    /// Starts what does not run yet and waits until everything answers.
    pub fn up(&self, ports: Ports) -> Result<Started> {
        let _lock = self.lock()?;
        let state = match self.state()? {
            Some(state) if state.ports == ports => state,
            Some(state) if self.any_runs(state) => {
                bail!("stack {} already runs on other ports:\n{}", self.name, env(state.ports))
            }
            _ => State { runs_in: if docker::chosen()? { RunsIn::Docker } else { RunsIn::Native }, ports },
        };
        let missing: Vec<Service> = Service::ALL.into_iter().filter(|s| !self.backend(state, *s).runs(*s)).collect();
        for service in &missing {
            check_port(*service, ports.of(*service))?;
        }
        fs::create_dir_all(&self.directory).with_context(|| format!("create {}", self.directory.display()))?;
        fs::write(self.state_path(), serde_json::to_vec_pretty(&state)?)?;
        for service in &missing {
            self.backend(state, *service)
                .launch(*service, ports.of(*service))
                .with_context(|| format!("start {service}"))?;
        }
        for service in Service::ALL {
            self.backend(state, service).wait_ready(service, ports.of(service))?;
        }
        Ok(if missing.is_empty() { Started::Already } else { Started::Now })
    }

    /// Stops the services of this stack and removes their data. False if there was none.
    pub fn down(&self) -> Result<bool> {
        if !self.directory.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        if let Some(state) = self.state()? {
            match state.runs_in {
                RunsIn::Docker => self.project(state).down(10)?,
                RunsIn::Native => {
                    for service in Service::ALL.into_iter().rev() {
                        self.backend(state, service).stop(service)?;
                    }
                }
            }
        }
        remove(&self.directory)?;
        Ok(true)
    }

    /// How each service is doing; empty if there is no such stack.
    pub fn status(&self) -> Result<Vec<Status>> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let status = |service: Service| Status {
            service,
            address: service.address(state.ports.of(service)),
            runs: self.backend(state, service).runs(service),
            answers: service.answers(state.ports.of(service)),
        };
        Ok(Service::ALL.into_iter().map(status).collect())
    }

    /// Shell lines that point COAFI at this stack.
    pub fn env(&self) -> Result<String> {
        let state = self.state()?;
        let state = state.with_context(|| format!("there is no stack {}: `make up` starts one", self.name))?;
        Ok(env(state.ports))
    }

    /// Where its logs and data are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn any_runs(&self, state: State) -> bool {
        Service::ALL.into_iter().any(|service| self.backend(state, service).runs(service))
    }

    fn backend(&self, state: State, service: Service) -> Backend {
        match state.runs_in {
            RunsIn::Native => Backend::Native(self.directory.join(service.name())),
            RunsIn::Docker => Backend::Docker(self.project(state)),
        }
    }

    fn project(&self, state: State) -> Project {
        let ports = Service::ALL.into_iter().map(|service| (service, state.ports.of(service))).collect();
        Project { name: format!("coafi-{}", self.name), ports }
    }

    fn state(&self) -> Result<Option<State>> {
        let path = self.state_path();
        if !path.exists() {
            return Ok(None);
        }
        let json = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is not a stack's state", path.display())).map(Some)
    }

    fn state_path(&self) -> PathBuf {
        self.directory.join("stack.json")
    }

    /// Held until the returned file is dropped. It lies beside the directory, which `down` removes.
    fn lock(&self) -> Result<File> {
        let path = self.directory.with_extension("lock");
        if let Some(stacks) = path.parent() {
            fs::create_dir_all(stacks).with_context(|| format!("create {}", stacks.display()))?;
        }
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        lock.lock().with_context(|| format!("lock stack {}", self.name))?;
        Ok(lock)
    }
}

/// The export lines of `coafi-testcontainers env`.
fn env(ports: Ports) -> String {
    exports(|service| service.address(ports.of(service)))
}

/// The lines for a shell that point COAFI at servers with these addresses.
#[must_use]
pub fn exports(address: impl Fn(Service) -> String) -> String {
    let variables = [
        ("COAFI__KAFKA__BOOTSTRAP_SERVERS", Service::Kafka),
        ("COAFI__SCHEMA_REGISTRY__URL", Service::Registry),
        ("COAFI__DATABASE__URL", Service::Postgres),
    ];
    variables.iter().fold(String::new(), |mut lines, (variable, service)| {
        let _ = writeln!(lines, "export {variable}={}", address(*service));
        lines
    })
}

fn check_port(service: Service, number: u16) -> Result<()> {
    ensure!(
        port::is_free(number),
        "port {number} for {service} is taken by {}; choose another: make up {}_PORT=NUMBER",
        port::holder(number),
        service.name().to_uppercase()
    );
    Ok(())
}

/// `COAFI_STACK_DIR`; for root /var/lib/coafi/stack, since Postgres then runs as another user, who cannot enter root's
/// home; else the XDG state directory.
fn stacks_directory() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(directory) = absolute(DIRECTORY_VARIABLE) {
        return Ok(directory);
    }
    if fs::metadata("/proc/self")?.uid() == 0 {
        return Ok(PathBuf::from("/var/lib/coafi/stack"));
    }
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Ok(state.context("neither XDG_STATE_HOME nor HOME is set")?.join("coafi/stack"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_directory_are_refused() {
        for name in ["", "-a", "../a", "A", "a/b", "a.b"] {
            assert!(Stack::named(name).is_err(), "{name:?}");
        }
        assert!(Stack::named("dev-2").is_ok());
    }

    #[test]
    fn env_points_every_client_at_the_stack() {
        let lines = env(Ports { kafka: 1, registry: 2, postgres: 3 });
        assert_eq!(
            lines,
            "export COAFI__KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1\n\
             export COAFI__SCHEMA_REGISTRY__URL=http://127.0.0.1:2/apis/ccompat/v7\n\
             export COAFI__DATABASE__URL=postgres://coafi@127.0.0.1:3/coafi\n"
        );
    }
}
