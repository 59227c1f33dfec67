//! From the configuration to the rules of registries.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use globset::Glob;

use crate::config::{Registry, Settings};
use crate::registry::{Dependant, Rule, Rules};
use crate::schema::Shape;
use crate::store::HistoryKept;

/// A larger schema file is refused.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;

/// What the configuration says of registries.
///
/// # Errors
/// A schema that cannot be read or is none.
pub fn registry_rules(settings: &Settings) -> anyhow::Result<Rules> {
    let rules = settings.registries.iter().map(|registry| Ok((registry.name.clone(), rule(registry)?)));
    Ok(Rules::new(rules.collect::<anyhow::Result<BTreeMap<_, _>>>()?))
}

fn rule(registry: &Registry) -> anyhow::Result<Rule> {
    let of = || format!("the schema of registry {:?}", registry.name);
    let shape = registry.schema.as_deref().map(|path| shape(path).with_context(of)).transpose()?;
    let dependants = registry.dependants.iter().map(|dependant| {
        Ok(Dependant {
            entries: Glob::new(&dependant.entries)?.compile_matcher(),
            subscriber: dependant.subscriber.clone(),
            channel: dependant.channel.clone(),
        })
    });
    Ok(Rule {
        shape,
        requires_match: registry.require_match,
        kept: HistoryKept { versions: registry.keep_versions, age: registry.keep_for },
        dependants: dependants.collect::<anyhow::Result<_>>()?,
    })
}

fn shape(path: &Path) -> anyhow::Result<Shape> {
    let cannot = || format!("{} cannot be used", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    anyhow::ensure!(size <= SCHEMA_BYTES_MAX, "{}: {size} bytes; allowed: {SCHEMA_BYTES_MAX}", path.display());
    let schema = serde_json::from_slice(&std::fs::read(path).with_context(cannot)?).with_context(cannot)?;
    Shape::compile(&schema).map_err(|why| anyhow::anyhow!("{} is no JSON Schema: {why}", path.display()))
}
