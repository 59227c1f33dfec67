//! Which recorded records a person means: by type, source, key, and a filter as routes have it.

use bytes::Bytes;

use super::routes::Patterns;
use super::{Failure, Filter};
use crate::engine::Class;
use crate::event::{Event, Record};
use crate::schema::Codec;

/// All of its conditions must hold; without any, every record is meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// CloudEvents types.
    pub types: Patterns,
    /// CloudEvents sources.
    pub sources: Patterns,
    /// Record keys, any of them; empty for every key, and for records without one.
    pub keys: Vec<Bytes>,
    pub filter: Option<Filter>,
}

/// What a selection says of a record.
#[derive(Clone, Debug)]
pub enum Judged {
    Wanted,
    Unwanted,
    /// The filter cannot be asked: the data cannot be decoded, or lacks what the filter names.
    Undecided(Failure),
}

impl Selection {
    /// Every record.
    #[must_use]
    pub fn everything() -> Self {
        Self { types: Patterns::any(), sources: Patterns::any(), keys: Vec::new(), filter: None }
    }

    /// Whether the record is meant. One that is no event has no type and no source, and no filter can be asked about it: it
    /// is meant only where none of these is named.
    ///
    /// # Errors
    /// Systemic: the schema registry does not answer.
    pub async fn judge(&self, record: &Record, codec: &Codec) -> Result<Judged, Failure> {
        if !self.keys.is_empty() && !self.keys.iter().any(|key| record.key() == Some(key)) {
            return Ok(Judged::Unwanted);
        }
        let wanted = |wanted| if wanted { Judged::Wanted } else { Judged::Unwanted };
        if self.types.is_any() && self.sources.is_any() && self.filter.is_none() {
            return Ok(Judged::Wanted);
        }
        let event = match Event::parse(record.clone()) {
            Ok(event) => event,
            // Of its type and source nothing can be meant; what a filter would say of it nobody knows.
            Err(error) if self.types.is_any() && self.sources.is_any() => {
                return Ok(Judged::Undecided(Failure::poison("no_event", error)));
            }
            Err(_) => return Ok(Judged::Unwanted),
        };
        if !self.types.matches(event.event_type()) || !self.sources.matches(event.source()) {
            return Ok(Judged::Unwanted);
        }
        let Some(filter) = &self.filter else { return Ok(Judged::Wanted) };
        let answer = match filter.asked(&event, codec).await {
            Ok(answer) => wanted(answer),
            Err(failure) if matches!(failure.class, Class::Systemic(_)) => return Err(failure),
            Err(failure) => Judged::Undecided(failure),
        };
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};
    use crate::schema::{Codec, registry};

    fn record(event_type: &str, key: Option<&[u8]>, data: &str) -> Record {
        let mut builder = RecordBuilder::new(key, Some(data.as_bytes()), 64);
        let headers =
            [("ce_id", "1"), ("ce_source", "/repo"), ("ce_type", event_type), ("content-type", "application/json")];
        for (name, value) in headers.into_iter().filter(|(_, value)| !value.is_empty()) {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        builder.build("coafi.git".into(), 0, Offset(0), None)
    }

    async fn judge(selection: &Selection, record: &Record) -> &'static str {
        let registry = registry::Client::new(registry::Settings::new("http://127.0.0.1:1")).unwrap();
        match selection.judge(record, &Codec::new(registry, false)).await.unwrap() {
            Judged::Wanted => "wanted",
            Judged::Unwanted => "unwanted",
            Judged::Undecided(failure) => failure.code,
        }
    }

    #[tokio::test]
    async fn every_condition_must_hold() {
        let types = Patterns::new(vec!["git.*".to_owned()]).unwrap();
        let filter = Filter::compile("data.branch == 'main'").unwrap();
        let selection =
            Selection { types, keys: vec!["k".into(), "l".into()], filter: Some(filter), ..Selection::everything() };
        let main = r#"{"branch": "main"}"#;
        for (record, expected) in [
            (record("git.push", Some(b"k"), main), "wanted"),
            (record("git.push", Some(b"l"), main), "wanted"),
            (record("git.push", Some(b"m"), main), "unwanted"),
            (record("git.push", None, main), "unwanted"),
            (record("api.call", Some(b"k"), main), "unwanted"),
            (record("git.push", Some(b"k"), r#"{"branch": "other"}"#), "unwanted"),
            (record("git.push", Some(b"k"), "{}"), "filter_failed"),
        ] {
            assert_eq!(judge(&selection, &record).await, expected, "{record:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_event_is_meant_only_by_its_place_and_key() {
        let no_event = record("", Some(b"k"), "{}");
        assert_eq!(judge(&Selection::everything(), &no_event).await, "wanted");
        let keyed = Selection { keys: vec!["k".into()], ..Selection::everything() };
        assert_eq!(judge(&keyed, &no_event).await, "wanted");
        let typed = Selection { types: Patterns::new(vec!["git.*".into()]).unwrap(), ..Selection::everything() };
        assert_eq!(judge(&typed, &no_event).await, "unwanted");
        let filter = Some(Filter::compile("true").unwrap());
        assert_eq!(judge(&Selection { filter, ..Selection::everything() }, &no_event).await, "no_event");
    }
}
