//! The shape of a routes file. Leaves are untyped here, so that a wrong one is reported with its route and key.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) routes: Vec<Route>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) name: Option<Value>,
    #[serde(rename = "match")]
    pub(super) matches: Option<Match>,
    pub(super) filter: Option<Value>,
    pub(super) handler: Option<Value>,
    pub(super) handlers: Option<Value>,
    pub(super) ordering: Option<Value>,
    #[serde(default)]
    pub(super) retry: Retry,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) concurrency: Option<Value>,
    /// Not in the version of routes that do not have it, which is older than this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<Tenant>,
    pub(super) deadline: Option<Value>,
    pub(super) dependencies: Option<Value>,
    pub(super) audit: Option<Value>,
    pub(super) enabled: Option<Value>,
    pub(super) on_loss: Option<Value>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    #[serde(rename = "type")]
    pub(super) types: Option<Value>,
    pub(super) source: Option<Value>,
    pub(super) topic: Option<Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    #[serde(default)]
    pub(super) in_place: InPlace,
    pub(super) topics: Option<Value>,
    pub(super) fault_attempts: Option<Value>,
    pub(super) exhausted: Option<Value>,
    pub(super) overflow: Option<Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InPlace {
    pub(super) attempts: Option<Value>,
    #[serde(default)]
    pub(super) backoff: Backoff,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backoff {
    pub(super) initial: Option<Value>,
    pub(super) cap: Option<Value>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) concurrency: Option<Value>,
    pub(super) rate_limit: Option<RateLimit>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    pub(super) per_second: Option<Value>,
    pub(super) burst: Option<Value>,
}
