//! What two sets of routes decide about recorded events: no handler runs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use crate::dispatch::{ConsumedTopic, Routes};
use crate::engine::Class;
use crate::event::Event;
use crate::kafka::scan::{Progress, Reader, Wanted};
use crate::schema::Codec;

/// Events of each kind of difference that are named.
const MAX_EXAMPLES: usize = 5;
/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// What becomes of an event before any handler runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Not an event: dead-lettered, whatever the routes say.
    Poison,
    Unprocessed,
    Filtered {
        route: String,
    },
    /// The filter cannot be evaluated: dead-lettered.
    FilterFailed {
        route: String,
    },
    /// The route is disabled: the event waits.
    Waits {
        route: String,
    },
    Handled {
        route: String,
        handlers: Vec<String>,
    },
}

/// Events of one type about which the same is decided by both sets, or the same two different things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    pub event_type: String,
    pub now: Decision,
    pub candidate: Decision,
    pub events: u64,
    /// The first of them, as `topic[partition]@offset id`, where the decisions differ.
    pub examples: Vec<String>,
}

impl Decided {
    #[must_use]
    pub fn differs(&self) -> bool {
        self.now != self.candidate
    }
}

/// Asks both about every record that is wanted.
///
/// # Errors
/// The topics cannot be read, or the schema registry does not answer.
pub async fn decide(
    reader: &Reader,
    wanted: Wanted,
    (now, candidate): (&Routes, &Routes),
    codec: &Codec,
    progress: impl Fn(Progress),
) -> anyhow::Result<Vec<Decided>> {
    let mut records = reader.read(&reader.resolve(wanted).await?)?;
    let mut decided: BTreeMap<(String, Decision, Decision), Decided> = BTreeMap::new();
    let mut seen = 0u64;
    while let Some(record) = records.next().await? {
        seen += 1;
        if seen.is_multiple_of(PROGRESS_EVERY) {
            progress(records.progress());
        }
        let place = format!("{}@{}", record.topic_partition(), record.offset());
        let event = Event::parse(record).ok();
        let (event_type, id, pair) = match &event {
            None => ("(no event)", "", (Decision::Poison, Decision::Poison)),
            Some(event) => {
                let asked = || format!("a filter cannot be asked of {place}");
                let pair = (
                    decision(now, event, codec).await.with_context(asked)?,
                    decision(candidate, event, codec).await.with_context(asked)?,
                );
                (event.event_type(), event.id(), pair)
            }
        };
        let entry = decided.entry((event_type.to_owned(), pair.0.clone(), pair.1.clone())).or_insert_with(|| Decided {
            event_type: event_type.to_owned(),
            now: pair.0,
            candidate: pair.1,
            events: 0,
            examples: Vec::new(),
        });
        entry.events += 1;
        if entry.differs() && entry.examples.len() < MAX_EXAMPLES {
            entry.examples.push(format!("{place} {id}"));
        }
    }
    Ok(decided.into_values().collect())
}

async fn decision(routes: &Routes, event: &Event, codec: &Codec) -> anyhow::Result<Decision> {
    let topic = ConsumedTopic::parse(event.record().topic()).base;
    let Some(id) = routes.find(topic, event.event_type(), event.source()) else { return Ok(Decision::Unprocessed) };
    let route = routes.route(id);
    let name = route.name.clone();
    if !route.enabled {
        return Ok(Decision::Waits { route: name });
    }
    let wanted = match &route.filter {
        Some(filter) => filter.asked(event, codec).await,
        None => Ok(true),
    };
    Ok(match wanted {
        Ok(true) => Decision::Handled { route: name, handlers: route.handlers.clone() },
        Ok(false) => Decision::Filtered { route: name },
        Err(failure) if matches!(failure.class, Class::Systemic(_)) => return Err(failure.into()),
        Err(_) => Decision::FilterFailed { route: name },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Known;
    use crate::event::{Offset, RecordBuilder};
    use crate::schema::registry;

    #[tokio::test]
    async fn route_filter_and_switch_decide() {
        const ROUTES: &str = "routes:
  - {name: main, match: {type: git.push}, filter: data.branch == 'main', handler: log}
  - {name: off, match: {type: git.tag}, handler: log, enabled: false}
  - {name: all, match: {type: 'api.*'}, handler: log}
";
        let known = Known { handlers: ["log".to_owned()].into(), ..Known::default() };
        let routes = Routes::parse("r.yaml", ROUTES, &known).unwrap();
        let registry = registry::Client::new(registry::Settings::new("http://127.0.0.1:1")).unwrap();
        let codec = Codec::new(registry, false);
        let (main, off, all) = ("main".to_owned(), "off".to_owned(), "all".to_owned());
        for (event_type, data, expected) in [
            (
                "git.push",
                r#"{"branch": "main"}"#,
                Decision::Handled { route: main.clone(), handlers: vec!["log".into()] },
            ),
            ("git.push", r#"{"branch": "x"}"#, Decision::Filtered { route: main.clone() }),
            ("git.push", "{}", Decision::FilterFailed { route: main }),
            ("git.tag", "{}", Decision::Waits { route: off }),
            ("api.call", "{}", Decision::Handled { route: all, handlers: vec!["log".into()] }),
            ("other", "{}", Decision::Unprocessed),
        ] {
            let mut builder = RecordBuilder::new(None, Some(data.as_bytes()), 64);
            let headers =
                [("ce_id", "1"), ("ce_source", "/s"), ("ce_type", event_type), ("content-type", "application/json")];
            for (name, value) in headers {
                builder.header(name.as_bytes(), Some(value.as_bytes()));
            }
            let event = Event::parse(builder.build("t".into(), 0, Offset(0), None)).unwrap();
            assert_eq!(decision(&routes, &event, &codec).await.unwrap(), expected, "{event_type} {data}");
        }
    }
}
