//! One running server, whichever way it runs, and what a test may do to it.

use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::docker::{self, Project};
use crate::native::Clients;
use crate::probe::wait_until;
use crate::process::{Process, Signal};
use crate::reaper::Entry;
use crate::{Service, native, port};

/// How long a server may take to stop by itself before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A server of one owner. It ends with this handle; whoever wants to see it die sooner uses [`Server::kill`].
#[derive(Debug)]
pub struct Server {
    service: Service,
    port: u16,
    pub(crate) backend: Backend,
    /// Cleaned up by the reaper if the handle's own `drop` never runs.
    process_entry: Option<Entry>,
    place_entry: Option<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Native(PathBuf),
    Docker(Project),
}

impl Server {
    fn start_owned(service: Service) -> Result<Self> {
        let mut server = Self::place(service, port::free(1)?[0])?;
        server.restart()?;
        Ok(server)
    }

    /// Where it is to run; nothing runs yet.
    pub(crate) fn place(service: Service, port: u16) -> Result<Self> {
        let name = unique_name();
        let (backend, place_entry) = if docker::chosen()? {
            let entry = Entry::compose_project(&name)?;
            (Backend::Docker(Project { name, ports: vec![(service, port)] }), entry)
        } else {
            let directory = env::temp_dir().join(name);
            let entry = Entry::directory(&directory)?;
            (Backend::Native(directory), entry)
        };
        Ok(Self { service, port, backend, process_entry: None, place_entry: Some(place_entry) })
    }

    /// What a client is configured with: `127.0.0.1:PORT`, `http://127.0.0.1:PORT/apis/ccompat/v7` or
    /// `postgres://coafi@127.0.0.1:PORT/coafi`.
    #[must_use]
    pub fn address(&self) -> String {
        self.service.address(self.port)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file that it logs to, which goes with the handle; `None` for a container.
    #[must_use]
    pub fn log_path(&self) -> Option<PathBuf> {
        match &self.backend {
            Backend::Native(directory) => Some(Process::at(directory).log_path()),
            Backend::Docker(_) => None,
        }
    }

    /// Ends it at once, as a crash would (SIGKILL to all its processes), and returns when it is gone. Data stays.
    pub fn kill(&mut self) -> Result<()> {
        match &self.backend {
            Backend::Native(directory) => Process::at(directory).kill()?,
            Backend::Docker(project) => drop(project.compose(&["kill", self.service.name()])?),
        }
        self.process_entry = None;
        Ok(())
    }

    /// Lets it shut down in order, and returns when it is gone. Data stays.
    pub fn stop(&mut self) -> Result<()> {
        self.backend.stop(self.service)?;
        self.process_entry = None;
        Ok(())
    }

    /// Starts it again on the same port with the same data, after [`Self::kill`] or [`Self::stop`], and waits until it
    /// answers. One that runs is left alone.
    pub fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.backend.wait_ready(self.service, self.port)
    }

    /// As [`Self::restart`], without waiting.
    pub fn launch(&mut self) -> Result<()> {
        if let Some(pid) = self.backend.launch(self.service, self.port)? {
            self.process_entry = Some(Entry::group(pid)?);
        }
        Ok(())
    }

    /// Freezes it: connections stay open and nothing answers, until [`Self::resume`].
    pub fn pause(&mut self) -> Result<()> {
        match &self.backend {
            Backend::Native(directory) => Process::at(directory).signal(Signal::Pause),
            Backend::Docker(project) => project.compose(&["pause", self.service.name()]).map(drop),
        }
    }

    /// Ends a [`Self::pause`].
    pub fn resume(&mut self) -> Result<()> {
        match &self.backend {
            Backend::Native(directory) => Process::at(directory).signal(Signal::Resume),
            Backend::Docker(project) => project.compose(&["unpause", self.service.name()]).map(drop),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = match &self.backend {
            Backend::Native(directory) => Process::at(directory).kill().and_then(|()| remove(directory)),
            Backend::Docker(project) => project.down(0),
        };
        if let Err(error) = ended {
            // Nobody is left to return it to. The reaper tries again when this process ends.
            eprintln!("{} on port {} is still there: {error:#}", self.service, self.port);
            std::mem::forget((self.process_entry.take(), self.place_entry.take()));
        }
    }
}

impl Backend {
    pub(crate) fn runs(&self, service: Service) -> bool {
        match self {
            Self::Native(directory) => Process::at(directory).pid().is_some(),
            Self::Docker(project) => project.runs(service),
        }
    }

    /// Starts the server unless it runs; the pid if that was a process.
    pub(crate) fn launch(&self, service: Service, port: u16) -> Result<Option<u32>> {
        if self.runs(service) {
            return Ok(None);
        }
        match self {
            Self::Native(directory) => {
                let command = native::command(service, directory, port)?;
                Ok(Some(Process::at(directory).spawn(&command)?))
            }
            Self::Docker(project) => project.up(service).map(|()| None),
        }
    }

    /// Waits until the server answers. One that ends meanwhile, or takes too long, is an error with the end of its log.
    pub(crate) fn wait_ready(&self, service: Service, port: u16) -> Result<()> {
        let ready = wait_until(service.start_limit(), || {
            if service.answers(port) {
                return Ok(true);
            }
            if !self.runs(service) {
                bail!("it ended during its start");
            }
            Ok(false)
        });
        ready.with_context(|| {
            format!("{service} on port {port} does not answer; its log ends with\n{}", self.log_tail(service))
        })
    }

    pub(crate) fn stop(&self, service: Service) -> Result<()> {
        match self {
            Self::Native(directory) => Process::at(directory).stop(STOP_GRACE),
            Self::Docker(project) => project.compose(&["stop", service.name()]).map(drop),
        }
    }

    fn log_tail(&self, service: Service) -> String {
        match self {
            Self::Native(directory) => Process::at(directory).log_tail(),
            Self::Docker(project) => project.log_tail(service),
        }
    }
}

/// Removes a directory that a process just killed may have been writing to.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    let removed = || !directory.exists() || fs::remove_dir_all(directory).is_ok();
    wait_until(STOP_GRACE, || Ok(removed())).with_context(|| format!("remove {}", directory.display()))
}

/// For a directory or a Compose project that no other process of this machine uses.
fn unique_name() -> String {
    format!("coafi-{}-{:08x}", std::process::id(), RandomState::new().build_hasher().finish() as u32)
}

/// A broker with its own controller. Topics are not created by use.
#[derive(Debug)]
pub struct Kafka(pub(crate) Server);

/// A schema registry with Confluent's API.
#[derive(Debug)]
pub struct Registry(Server);

/// A Postgres server with user and database `coafi`, and no password.
#[derive(Debug)]
pub struct Postgres(Server);

impl Kafka {
    /// Starts one on a free port and waits until it answers.
    pub fn start() -> Result<Self> {
        Server::start_owned(Service::Kafka).map(Self)
    }

    /// Starts one with more lines of `server.properties`, which is possible natively only.
    pub fn start_with(properties: &str) -> Result<Self> {
        let port = port::free(1)?[0];
        let mut server = Server::place(Service::Kafka, port)?;
        let Backend::Native(directory) = &server.backend else {
            bail!("a broker with properties of its own runs natively only: COAFI_STACK=native");
        };
        native::prepare_kafka_with(directory, port, properties)?;
        server.restart()?;
        Ok(Self(server))
    }

    /// For `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.address()
    }
}

/// A broker that lets clients do what an access control list allows, and nothing else. Whoever connects as to any other
/// [`Kafka`] may do everything, which is how lists are made.
#[derive(Debug)]
pub struct SecuredKafka {
    pub kafka: Kafka,
    /// For `bootstrap.servers` of clients that speak TLS and say who they are.
    pub secured_servers: String,
    /// For `ssl.ca.location`.
    pub certificate: PathBuf,
}

impl SecuredKafka {
    /// Starts one that knows these users by their passwords (SASL_SSL, SCRAM-SHA-256), which is possible natively only.
    pub fn start(users: &[(&str, &str)]) -> Result<Self> {
        Self::start_for(Clients::Passwords(users))
    }

    /// Starts one that knows its clients by certificates (SSL) of the authority that has this one, natively only too. A client is
    /// `User:` and the subject of its certificate.
    pub fn start_with_authority(certificate: &Path) -> Result<Self> {
        Self::start_for(Clients::Certificates(certificate))
    }

    fn start_for(clients: Clients<'_>) -> Result<Self> {
        let ports = port::free(3)?;
        let mut server = Server::place(Service::Kafka, ports[0])?;
        let Backend::Native(directory) = &server.backend else {
            bail!("a broker that knows its clients runs natively only: COAFI_STACK=native");
        };
        let certificate = native::prepare_kafka_secured(directory, &ports, clients)?;
        server.restart()?;
        let secured_servers = Service::Kafka.address(ports[1]);
        Ok(Self { kafka: Kafka(server), secured_servers, certificate })
    }
}

impl Registry {
    /// Starts one on a free port and waits until it answers.
    pub fn start() -> Result<Self> {
        Server::start_owned(Service::Registry).map(Self)
    }

    /// The base URL of Confluent's API.
    #[must_use]
    pub fn url(&self) -> String {
        self.address()
    }
}

impl Postgres {
    /// Starts one on a free port and waits until it answers.
    pub fn start() -> Result<Self> {
        Server::start_owned(Service::Postgres).map(Self)
    }

    /// Starts one that speaks TLS with whoever asks for it, and proves itself by this certificate; natively only.
    pub fn start_with_certificate(certificate: &Path, key: &Path) -> Result<Self> {
        let port = port::free(1)?[0];
        let mut server = Server::place(Service::Postgres, port)?;
        let Backend::Native(directory) = &server.backend else {
            bail!("a server with a certificate of its own runs natively only: COAFI_STACK=native");
        };
        native::prepare_postgres_with_certificate(directory, port, certificate, key)?;
        server.restart()?;
        Ok(Self(server))
    }

    /// A connection URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.address()
    }
}

impl Deref for Kafka {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Kafka {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Deref for Registry {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Registry {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}
