//! The target of what names repositories and what is in them: addresses, patterns, commits, offsets.

use std::collections::BTreeMap;
use std::path::Path;

use gix::bstr::BStr;

use super::{Address, Location, Patterns, commit, state::RepositoryState};
use crate::fuzzing::{Target, choice, text};

/// Bytes of a message, for this only.
const MESSAGE_BYTES: usize = 64;

inventory::submit! { Target { name: "git_names", run } }

/// The first byte says what follows.
fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    match kind % 4 {
        0 => {
            let Some(text) = text(rest) else { return };
            let Ok(address) = Address::parse(text, Path::new("/base")) else { return };
            if let Location::Remote(remote) = &address.location {
                same_place(&remote.url, address.id.as_str());
            }
            let again = Address::parse(address.id.as_str(), Path::new("/other"));
            assert_eq!(again.map(|again| again.id).ok(), Some(address.id), "an identity is its own address");
        }
        1 => {
            let Some(text) = text(rest) else { return };
            let lines: Vec<&str> = text.lines().collect();
            if let Ok(patterns) = Patterns::new(&lines) {
                let _matches = (patterns.matches(text), patterns.matches("docs/guide.md"));
            }
        }
        2 => {
            let cut = commit::text(BStr::new(rest), MESSAGE_BYTES);
            // A byte that is no UTF-8 becomes a character of three.
            assert!(cut.len() <= 3 * MESSAGE_BYTES + '…'.len_utf8());
            if let Ok(read) = gix::objs::CommitRef::from_bytes(rest, gix::hash::Kind::Sha1) {
                let _people = (commit::signature(read.author().ok()), commit::signature(read.committer().ok()));
            }
        }
        _ => {
            let Ok(parts) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(rest) else { return };
            let Ok(state) = RepositoryState::from_parts(&parts) else { return };
            let written = parts.into_keys().filter_map(|part| Some((part.clone(), state.part(&part)?))).collect();
            assert_eq!(RepositoryState::from_parts(&written).ok(), Some(state));
        }
    }
}

/// To gix, which takes the host out of a URL, and to reqwest, which connects to it.
fn same_place(fetched: &str, named: &str) {
    let gix = |url: &str| gix::url::parse(BStr::new(url)).ok();
    if let Some(fetched) = gix(fetched) {
        let named = gix(named).expect("an identity is a URL to gix where its address is one");
        assert_eq!((&fetched.host, fetched.port, fetched.user()), (&named.host, named.port, None));
    }
    if let Ok(fetched) = reqwest::Url::parse(fetched) {
        let slashes = named.matches('/').count();
        let named = reqwest::Url::parse(named).expect("an identity is a URL where its address is one");
        assert_eq!(named.as_str().matches('/').count(), slashes, "{named} is not the path that was written");
        assert_eq!((fetched.origin(), fetched.username()), (named.origin(), ""));
        assert!(fetched.path().starts_with(named.path()), "{fetched} is not below {named}");
        assert_eq!((fetched.query(), fetched.fragment()), (None, None));
    }
}
