//! The API within `coafi dev`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{Backing, Places, api, domains, spawn_api, webhooks};
use crate::config::Settings;
use crate::connectors::LagBased;
use crate::http::Server;
use crate::http::api::API_TOPIC;
use crate::runtime::{TaskError, Tasks};

/// A running API.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), TaskError>>,
}

impl Serving {
    /// `group` handles its requests: it waits while that one is behind, since the embedded cluster forgets.
    pub(super) async fn start(
        settings: &Settings,
        places: &Places,
        backing: &Backing,
        group: &str,
    ) -> anyhow::Result<Self> {
        let server = Server::bind("api.listen", settings.api.listen).await?;
        let admission = Arc::new(LagBased::new(&places.client_config(), group, API_TOPIC)?);
        let rules = Arc::clone(&backing.services.registries);
        let (codec, requests) = (backing.services.codec.clone(), &backing.requests);
        let pushers = (webhooks(settings)?, domains(settings));
        let api = api(&settings.api, places, codec, Arc::clone(requests), admission, pushers, rules, None)?;
        let (address, stop) = (server.address(), CancellationToken::new());
        let mut tasks = Tasks::new(stop.clone());
        spawn_api(&mut tasks, &settings.api, server, api, Arc::clone(requests), None);
        Ok(Self { address, stop, ended: tokio::spawn(tasks.join()) })
    }

    pub(super) fn has_failed(&self) -> bool {
        self.ended.is_finished()
    }

    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.ended.await.context("the API")??)
    }
}
