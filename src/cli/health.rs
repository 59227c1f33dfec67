//! `coafi health`: for Docker's HEALTHCHECK and for people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::{Context, Exit, Failure};

/// A replica that does not answer within this time is not healthy; Docker's own limit is 5 s.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Ask a running replica whether it is alive.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi health
  coafi health --ready
  coafi health --url http://10.0.0.7:8080

Exit codes: 0 its poll loop goes round (with --ready: it may be given work), 1 it stands still (may
not), 2 the configuration is wrong, 3 nobody answers.")]
pub(super) struct Health {
    /// Base URL of the replica; by default the configured http.listen on this machine.
    #[arg(long)]
    url: Option<String>,
    /// Ask /ready instead: whether it may be given work.
    #[arg(long)]
    ready: bool,
}

impl Health {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let base = self.url.clone().unwrap_or_else(|| format!("http://{}", local(context.settings().http.listen)));
        let url = format!("{}/{}", base.trim_end_matches('/'), if self.ready { "ready" } else { "health" });
        let unanswered = |error: reqwest::Error| {
            Failure::unavailable(format!("no replica answers at {url}"))
                .because(error.without_url())
                .next("start one with `coafi consume` or `coafi dev`, or name its address with --url")
        };
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(unanswered)?;
        let response = client.get(&url).send().await.map_err(unanswered)?;
        let status = response.status();
        context.output().line(&response.text().await.map_err(unanswered)?)?;
        Ok(if status.is_success() { Exit::Ok } else { Exit::No })
    }
}

/// Where a server that listens on every address is reached from the same machine.
fn local(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_becomes_this_machine() {
        for (listen, reached) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:1", "[::1]:1"), ("10.0.0.7:80", "10.0.0.7:80")]
        {
            assert_eq!(local(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
