//! What holds of single registries.

use std::path::PathBuf;
use std::time::Duration;

use globset::Glob;

use super::section::Section;
use super::{format_duration, parse_duration};
use crate::notify::Channel;

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    pub name: String,
    /// The file of a JSON Schema that its entries fit.
    pub schema: Option<PathBuf>,
    pub require_match: bool,
    pub keep_versions: Option<u32>,
    pub keep_for: Option<Duration>,
    pub dependants: Vec<RegistryDependant>,
}

/// Who is told of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryDependant {
    /// A glob over names of entries.
    pub entries: String,
    pub subscriber: String,
    /// Of notifications, that is told besides.
    pub channel: Option<String>,
}

const NAME_BYTES_MAX: usize = 256;
const KEPT_LEAST: Duration = Duration::from_secs(60);
const KEPT_MOST: Duration = Duration::from_secs(86_400 * 36_500);

pub(super) fn read(root: &mut Section<'_>) -> Vec<Registry> {
    let registries = root.sections("registries", "name", Registry::read);
    let names = registries.iter().map(|registry| registry.name.as_str());
    root.distinct("registries", names, "the registry is listed twice");
    registries
}

/// That channels are there which dependants are told by.
pub(super) fn check(root: &mut Section<'_>, registries: &[Registry], channels: &[Channel]) {
    let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    for (index, registry) in registries.iter().enumerate() {
        for (nth, dependant) in registry.dependants.iter().enumerate() {
            if let Some(unknown) = dependant.channel.as_deref().filter(|channel| !names.contains(channel)) {
                let message = format!("there is no channel {unknown:?}; allowed: {}", names.join(", "));
                root.reject(&format!("registries[{index}].dependants[{nth}].channel"), message);
            }
        }
    }
}

impl Registry {
    fn read(section: &mut Section<'_>) -> Self {
        let versions = |text: &str| text.parse::<u32>().ok().filter(|&count| count > 0).map(Some);
        let age = |text: &str| parse_duration(text).filter(|age| (KEPT_LEAST..=KEPT_MOST).contains(age)).map(Some);
        Self {
            name: name(section, "name"),
            schema: section.optional_text("schema").map(Into::into),
            require_match: section.boolean("require_match", false),
            keep_versions: section.parsed("keep_versions", None, "a whole number from 1", versions, |count| {
                count.map_or_else(String::new, |count| count.to_string())
            }),
            keep_for: section.parsed("keep_for", None, "a duration of at least 1m, such as 90d", age, |age| {
                age.map_or_else(String::new, format_duration)
            }),
            dependants: section.sections("dependants", "subscriber", RegistryDependant::read),
        }
    }
}

impl RegistryDependant {
    fn read(section: &mut Section<'_>) -> Self {
        let glob = |text: &str| Glob::new(text).ok().map(|_| text.to_owned());
        let entries = section.parsed("entries", "*".to_owned(), "a glob, such as wing-*", glob, Clone::clone);
        Self { entries, subscriber: name(section, "subscriber"), channel: section.optional_text("channel") }
    }
}

fn name(section: &mut Section<'_>, key: &'static str) -> String {
    let allowed = format!("at most {NAME_BYTES_MAX} bytes of printable text");
    let is_name = |text: &str| {
        let printable = !text.trim().is_empty() && !text.chars().any(char::is_control);
        printable && text.len() <= NAME_BYTES_MAX
    };
    section.named(key, &allowed, is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::loaded;

    #[test]
    fn everything_but_the_name_may_be_left_out() {
        let yaml = "registries:
  - parts
  - {name: wings, schema: w.json, require_match: true, keep_versions: 3, keep_for: 90d,
     dependants: [ada, {subscriber: grace, entries: wing-*, channel: alerts}]}
notifications: {channels: [{name: alerts, kind: alertmanager, url: 'http://a'}]}
";
        let [parts, wings] = &loaded(yaml, &[]).unwrap().settings.registries[..] else { panic!() };
        assert_eq!((&*parts.name, &parts.schema, parts.require_match), ("parts", &None, false));
        assert_eq!((parts.keep_versions, parts.keep_for, parts.dependants.len()), (None, None, 0));
        assert_eq!((wings.keep_versions, wings.keep_for), (Some(3), Some(Duration::from_secs(90 * 86_400))));
        let dependant = |subscriber: &str, entries: &str, channel: Option<&str>| RegistryDependant {
            entries: entries.into(),
            subscriber: subscriber.into(),
            channel: channel.map(str::to_owned),
        };
        assert_eq!(wings.dependants, [dependant("ada", "*", None), dependant("grace", "wing-*", Some("alerts"))]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (yaml, said) in [
            ("registries: [{schema: s.json}]", "registries[0].name: is missing"),
            ("registries: [parts, parts]", "registries[1].name: the registry is listed twice"),
            ("registries: [{name: p, keep_versions: 0}]", "keep_versions: 0 is not allowed"),
            ("registries: [{name: p, keep_for: 1s}]", "at least 1m"),
            ("registries: [{name: p, dependants: [{entries: '['}]}]", "a glob, such as wing-*"),
            ("registries: [{name: p, dependants: [{subscriber: a, channel: c}]}]", "there is no channel \"c\""),
            ("registries: [{name: p, dependants: [{}]}]", "dependants[0].subscriber: is missing"),
        ] {
            let error = loaded(yaml, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{yaml}: {error}");
        }
    }
}
