//! What a report says, before it is a page or a table.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Asked, Kind, Settings, compliance, status};
use crate::dispatch::job::Job;
use crate::dispatch::{Context, Failure};
use crate::store::Period;

/// Of one section; what is beyond is said to be there.
pub(super) const ROWS_MAX: usize = 1_000;
/// Of each text of a row; a longer one is cut.
const TEXT_BYTES_MAX: usize = 2_000;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) report: Kind,
    pub(super) schedule: String,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) sections: Vec<Section>,
}

/// What the report says about one kind of thing.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
    /// There is more than the rows say.
    pub(super) more: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) measure: String,
    pub(super) value: String,
}

impl Facts {
    /// # Errors
    /// As the store.
    pub(super) async fn find(context: &Context<'_>, job: &Job<Settings>, asked: &Asked) -> Result<Self, Failure> {
        let period = Period { since_ms: asked.since.as_millisecond(), until_ms: job.due.as_millisecond() };
        let sections = match asked.kind {
            Kind::Status => status::sections(context, period).await?,
            Kind::Compliance => compliance::sections(context).await?,
        };
        Ok(Self { report: asked.kind, schedule: job.schedule.clone(), since: asked.since, until: job.due, sections })
    }
}

impl Section {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rows: Vec::new(), more: false }
    }

    pub(super) fn add(&mut self, subject: &str, measure: &str, value: impl ToString) {
        if self.rows.len() == ROWS_MAX {
            self.more = true;
            return;
        }
        let cut = |text: &str| text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        self.rows.push(Row { subject: cut(subject), measure: cut(measure), value: cut(&value.to_string()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are an artifact as soon as a report is begun, and whoever goes on with it may be of another version.
    #[test]
    fn what_was_found_is_kept_as_before() {
        let mut section = Section::new("registries");
        section.add("parts", "entries", 7);
        let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(3_600).unwrap());
        let facts =
            Facts { report: Kind::Compliance, schedule: "daily".to_owned(), since, until, sections: vec![section] };
        let kept = r#"{"report":"compliance","schedule":"daily","since":"1970-01-01T00:00:00Z","until":"1970-01-01T01:00:00Z","sections":[{"name":"registries","rows":[{"subject":"parts","measure":"entries","value":"7"}],"more":false}]}"#;
        assert_eq!(serde_json::to_string(&facts).unwrap(), kept);
        assert_eq!(serde_json::from_str::<Facts>(kept).unwrap(), facts);
    }
}
