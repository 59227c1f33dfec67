//! What is watched for: by type, and by what a record says.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::expression::{Expression, ExpressionError, value_of};
use crate::schema::payloads::BittRecord;

/// What conditions see.
const RECORD: &str = "record";

/// One watch; an event for each record that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    pub name: String,
    pub types: WatchPatterns,
    pub when: Option<Expression>,
}

/// Globs, of which one must match one of the record's type, the event's type and the UTidS. `*` crosses colons and dots.
#[derive(Clone, Debug)]
pub struct WatchPatterns {
    texts: Vec<String>,
    globs: GlobSet,
}

impl PartialEq for WatchPatterns {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is no glob: {message}")]
pub struct BadWatchPattern {
    pub glob: String,
    pub message: String,
}

impl WatchPatterns {
    /// # Errors
    /// [`BadWatchPattern`]
    pub fn new(texts: &[String]) -> Result<Self, BadWatchPattern> {
        let bad = |glob: &str, error: globset::Error| BadWatchPattern {
            glob: glob.to_owned(),
            message: error.kind().to_string(),
        };
        let mut globs = GlobSetBuilder::new();
        for text in texts {
            globs.add(GlobBuilder::new(text).literal_separator(false).build().map_err(|error| bad(text, error))?);
        }
        let globs = globs.build().map_err(|error| bad(&texts.join(", "), error))?;
        Ok(Self { texts: texts.to_vec(), globs })
    }

    fn match_any<'a>(&self, mut of: impl Iterator<Item = &'a str>) -> bool {
        of.any(|text| self.globs.is_match(text))
    }
}

impl Watch {
    /// # Errors
    /// See [`Expression::compile`].
    pub fn condition(text: &str) -> Result<Expression, ExpressionError> {
        Expression::compile(text, &[RECORD])
    }

    /// # Errors
    /// The condition cannot be evaluated over this record.
    pub(super) fn matches(&self, record: &BittRecord) -> Result<bool, ExpressionError> {
        let types = [Some(record.record_type.as_str()), record.event_type.as_deref()];
        let names = types.into_iter().flatten().chain(record.utids.iter().map(String::as_str));
        if !self.types.match_any(names) {
            return Ok(false);
        }
        let Some(when) = &self.when else { return Ok(true) };
        // What is not there is the empty text, so that a condition needs no guard.
        let json = serde_json::to_value(record).map_err(|error| when.failed(error))?;
        let members = json.as_object().into_iter().flatten();
        let present: BTreeMap<&str, serde_json::Value> = members
            .map(|(name, value)| (name.as_str(), if value.is_null() { "".into() } else { value.clone() }))
            .collect();
        when.decide([(RECORD, value_of(&serde_json::json!(present)))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::sample;

    fn check(types: &[&str], when: Option<&str>, expected: Option<bool>) {
        let types: Vec<String> = types.iter().map(|glob| (*glob).to_owned()).collect();
        let when = when.map(|text| Watch::condition(text).unwrap());
        let watch = Watch { name: "w".to_owned(), types: WatchPatterns::new(&types).unwrap(), when };
        let mut record = sample::bitt_record();
        record.by = None;
        assert_eq!(watch.matches(&record).ok(), expected, "{types:?} {:?}", watch.when);
    }

    /// Of the configuration that is shipped, each as it would be without its comment sign.
    #[test]
    fn the_shipped_examples_find_what_they_are_for_and_nothing_else() {
        let shipped = include_str!("../../../coafi.yaml");
        let (_, section) = shipped.split_once("\nbitt:\n").unwrap();
        let (section, _) = section.split_once("  watch: []").unwrap();
        let examples = section.lines().filter_map(|line| line.strip_prefix("  #   - {"));
        let yaml: String = examples.map(|example| format!("    - {{{example}\n")).collect();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.yaml");
        std::fs::write(&file, format!("bitt:\n  watch:\n{yaml}")).unwrap();
        let sources = crate::config::Sources { file: Some(file), ..crate::config::Sources::default() };
        let watches = crate::config::load(&sources).unwrap().settings.bitt.watch;
        let found = |utid: &str, outcome: &str| {
            let mut record = sample::bitt_record();
            (record.utids, record.outcome) = (vec![utid.to_owned()], Some(outcome.to_owned()));
            let matching = watches.iter().filter(|watch| watch.matches(&record).unwrap());
            matching.map(|watch| watch.name.clone()).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        for outcome in ["dead_lettered", "halted", "unprocessed", "lost"] {
            assert_eq!(found("GAIA:COMPLIANCE:7", outcome), ["compliance"]);
        }
        for outcome in ["processed", "retried_topic"] {
            assert_eq!(found("GAIA:COMPLIANCE:7", outcome), none);
        }
        for outcome in ["processed", "dead_lettered", "unprocessed"] {
            assert_eq!(found("GAIA:ALERT:CRITICAL:7", outcome), ["critical-alerts"]);
        }
        for (utid, outcome) in [
            ("GAIA:ALERT:CRITICAL:7", "retried_in_place"),
            ("GAIA:ALERT:INFO:7", "processed"),
            ("GAIA:MILESTONE:7", "halted"),
        ] {
            assert_eq!(found(utid, outcome), none, "{utid} {outcome}");
        }
        assert_eq!(found("GAIA:MILESTONE:7", "processed"), ["milestones"]);
    }

    #[test]
    fn types_utids_and_conditions_decide() {
        check(&["*"], None, Some(true));
        check(&["GAIA:COMPLIANCE:*"], None, Some(true));
        check(&["git.*"], None, Some(true));
        check(&["EVENT_PROCESSING_FAILED"], None, Some(true));
        check(&["EVENT_PROCESSED", "api.*", "GAIA:MILESTONE:*"], None, Some(false));
        check(&["*"], Some("record.outcome == 'dead_lettered' && record.attempt > 2"), Some(true));
        check(&["*"], Some("record.by == 'ada'"), Some(false));
        check(&["*"], Some("record.utids.exists(u, u.startsWith('GAIA:'))"), Some(true));
        check(&["*"], Some("record.colour == 'red'"), None);
    }
}
