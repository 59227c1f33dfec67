//! Which addresses may be called. An address of a private network, of this machine or of the metadata service of a cloud is called
//! only where `outgoing.allow` names it: who can name a URL must not reach what only this process can.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// IANA's registries of special-purpose addresses, without what is globally reachable, and multicast.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What is allowed of IPv6: global unicast, without the parts of it that are documentation, or carry an IPv4 address.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 5] = [
    // Teredo, ORCHID and other protocols' own.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// Whether an address is reached by everybody.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|&(network, bits)| within(network.into(), bits, v4.into())),
        IpAddr::V6(v6) => {
            // `to_canonical` only knows ::ffff:0:0/96; a translator's addresses (64:ff9b::/96) are not global unicast.
            let (network, bits) = PUBLIC_V6;
            within(network.into(), bits, v6.into())
                && !NOT_PUBLIC_V6.iter().any(|&(network, bits)| within(network.into(), bits, v6.into()))
        }
    }
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    IpNet::new(network, bits).is_ok_and(|network| network.contains(&address))
}

/// An element of `outgoing.allow`: addresses, or a name whose addresses may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    Network(IpNet),
    /// In small letters.
    Host(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed: an address, a network such as 10.1.0.0/16, or a host's name")]
pub struct BadAllowed;

impl FromStr for Allowed {
    type Err = BadAllowed;

    fn from_str(text: &str) -> Result<Self, BadAllowed> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        match Host::parse(text).map_err(|_| BadAllowed)? {
            Host::Domain(name) if !text.contains('/') => Ok(Self::Host(name)),
            _ => Err(BadAllowed),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => network.addr().fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Host(name) => name.fmt(f),
        }
    }
}

/// Knows what may be called besides public addresses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Arc<[Allowed]>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is no http or https URL")]
    NoHttp(String),
    #[error("{0} is not a public address; outgoing.allow can name it")]
    NotPublic(String),
}

impl Guard {
    #[must_use]
    pub fn new(allowed: &[Allowed]) -> Self {
        Self(allowed.into())
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let named = |allowed: &Allowed| matches!(allowed, Allowed::Network(network) if network.contains(&address));
        is_public(address) || self.0.iter().any(named)
    }

    fn allows_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.0.iter().any(|allowed| matches!(allowed, Allowed::Host(host) if host.eq_ignore_ascii_case(name)))
    }

    /// A URL that names its host by address is never resolved, so it is judged here.
    ///
    /// # Errors
    /// Why it may not be called.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::NoHttp(url.scheme().to_owned()));
        }
        let address = match url.host() {
            None => return Err(Refused::NoHttp("a URL without a host".to_owned())),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        if self.allows(address) { Ok(()) } else { Err(Refused::NotPublic(address.to_string())) }
    }

    /// Of a name's addresses, those that may be called.
    fn judge(&self, name: &str, addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        if self.allows_name(name) {
            return Ok(addresses.collect());
        }
        let (allowed, others): (Vec<_>, Vec<_>) = addresses.partition(|address| self.allows(address.ip()));
        match others.first() {
            // One that is not allowed taints all: a name of the outside has no business to have such an address.
            Some(other) => Err(Refused::NotPublic(format!("{name}, which is {},", other.ip()))),
            None => Ok(allowed),
        }
    }
}

/// The system's resolver, behind the guard: what was judged is what is connected to.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // The port is the URL's; 0 stands for it.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = guard.judge(name.as_str(), addresses)?;
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        let allowed: Vec<Allowed> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        Guard::new(&allowed)
    }

    fn check(guard: &Guard, url: &str) -> bool {
        guard.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn public_addresses_are_called_and_no_others() {
        let guard = guard(&[]);
        for public in ["https://1.1.1.1", "http://172.15.0.1", "http://172.32.0.1:8080", "https://[2606:4700::1111]/a"]
        {
            assert!(check(&guard, public), "{public}");
        }
        for other in [
            "http://127.0.0.1",
            "http://127.1",
            "http://2130706433",
            "http://0x7f.0.0.1",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://100.64.0.1",
            "http://169.254.169.254/latest/meta-data",
            "http://172.16.0.1",
            "http://172.31.255.255",
            "http://192.168.1.1",
            "http://224.0.0.1",
            "http://255.255.255.255",
            "http://[::1]",
            "http://[::]",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:a9fe:a9fe]",
            "http://[::127.0.0.1]",
            "http://[64:ff9b::7f00:1]",
            "http://[2002:7f00:1::]",
            "http://[2001::1]",
            "http://[fc00::1]",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://[ff02::1]",
            "ftp://1.1.1.1",
            "file:///etc/passwd",
        ] {
            assert!(!check(&guard, other), "{other}");
        }
    }

    #[test]
    fn what_is_allowed_is_called() {
        let guard = guard(&["127.0.0.0/8", "10.1.2.3", "fc00::/7", "Alerts.internal"]);
        for allowed in ["http://127.0.0.1", "http://[::ffff:127.0.0.1]", "http://10.1.2.3", "http://[fd00::1]"] {
            assert!(check(&guard, allowed), "{allowed}");
        }
        for other in ["http://10.1.2.4", "http://[::1]", "http://169.254.169.254"] {
            assert!(!check(&guard, other), "{other}");
        }
        let private: Vec<SocketAddr> = vec!["192.168.7.7:0".parse().unwrap()];
        assert_eq!(guard.judge("alerts.INTERNAL.", private.clone().into_iter()).unwrap(), private);
        let refused = guard.judge("evil.example", private.into_iter()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "evil.example, which is 192.168.7.7, is not a public address; outgoing.allow can name it"
        );
    }

    #[test]
    fn a_name_with_one_address_that_is_not_allowed_is_refused() {
        let mixed = ["1.1.1.1:0", "127.0.0.1:0"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert!(guard(&[]).judge("rebinding.example", mixed.into_iter()).is_err());
        assert_eq!(guard(&["127.0.0.1"]).judge("rebinding.example", mixed.into_iter()).unwrap(), mixed);
    }

    #[test]
    fn what_can_be_allowed_is_shown_as_it_was_written() {
        for text in ["127.0.0.0/8", "10.1.2.3", "::1", "fc00::/7", "alerts.internal"] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for text in ["", "10.0.0.0/33", "host/path", "a b", "http://host"] {
            assert_eq!(text.parse::<Allowed>(), Err(BadAllowed), "{text:?}");
        }
    }
}
