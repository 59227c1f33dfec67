//! A CloudEvent 1.0 of somebody else, as CloudEvents' HTTP binding carries it: checked, and told apart from others of its id.
//!
//! Whatever is taken fits a record of 1 MiB, with the largest body that can be configured: [`ATTRIBUTES_MAX`] times
//! [`ATTRIBUTE_BYTES_MAX`] are 33 KiB. So nothing of a batch turns out to be too large after a part of it is published.

mod media;
mod modes;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use media::{essence, is_json, is_text};
pub use modes::{BATCH, EVENTS_MAX, NotRead, STRUCTURED, header_value, read};

/// All of an event's, those of CloudEvents itself too.
const ATTRIBUTES_MAX: usize = 32;
/// Of one attribute's value, and of the data's media type.
pub const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// CloudEvents advises 20, and allows more.
const NAME_BYTES_MAX: usize = 64;
/// Sources that begin like it are COAFI's own: nobody else may speak for them.
const OUR_SOURCES: &str = "/coafi";
/// What no URI may have in it (RFC 3986), besides white space and control characters.
const NOT_IN_URIS: &[char] = &['<', '>', '"', '{', '}', '|', '\\', '^', '`'];
/// What ends the correlation id of all that follows from a watch on the audit log, which is not watched again.
pub const WATCHED: &str = "~bitt";
/// They tell how an event came here and not what it is: whoever sends it again may do so in another trace.
pub const OF_THE_WAY: [&str; 2] = ["traceparent", "tracestate"];

/// An event that is valid as far as CloudEvents goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub id: String,
    pub source: String,
    pub event_type: String,
    /// All other attributes, extensions too.
    pub others: BTreeMap<String, String>,
    pub content_type: Option<String>,
    pub data: Bytes,
}

impl Incoming {
    /// # Errors
    /// What is wrong with it, and what is allowed.
    fn new(
        mut attributes: BTreeMap<String, String>,
        content_type: Option<String>,
        data: Bytes,
    ) -> Result<Self, String> {
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(format!("there are {} attributes; allowed: {ATTRIBUTES_MAX}", attributes.len()));
        }
        attributes.iter().try_for_each(|(name, value)| check_attribute(name, value))?;
        match attributes.remove("specversion").as_deref() {
            Some("1.0") => {}
            other => return Err(format!("specversion is {:?}; allowed: \"1.0\"", other.unwrap_or_default())),
        }
        let mut required = |name: &str| attributes.remove(name).ok_or_else(|| format!("{name} is missing"));
        let (id, source, event_type) = (required("id")?, required("source")?, required("type")?);
        check_source(&source)?;
        if let Some(time) = attributes.get("time").filter(|time| time.parse::<jiff::Timestamp>().is_err()) {
            return Err(format!("time is {time:?}; allowed: RFC 3339"));
        }
        // Both are accepted; inside there is one.
        if let Some(seq) = attributes.remove("seq") {
            attributes.entry("sequence".to_owned()).or_insert(seq);
        }
        // Where replies go, how often workflows have led to an event, and what follows from our own watching is ours to say.
        attributes.remove("replyto");
        attributes.remove("workflowhops");
        if let Some(mut correlation) = attributes.remove("correlationid") {
            correlation.truncate(correlation.trim_end_matches(WATCHED).len());
            if !correlation.is_empty() {
                attributes.insert("correlationid".to_owned(), correlation);
            }
        }
        let content_type = content_type.filter(|_| !data.is_empty());
        if let Some(given) = &content_type {
            check_text("datacontenttype", given)?;
            let is_data = serde_json::from_slice::<serde::de::IgnoredAny>(&data);
            if let (true, Err(error)) = (is_json(given), is_data) {
                return Err(format!("data is said to be {given} and is no JSON: {error}"));
            }
        }
        Ok(Self { id, source, event_type, others: attributes, content_type, data })
    }

    /// What makes it this event and no other of the same source and id.
    pub fn content(&self) -> Vec<&[u8]> {
        let media = self.content_type.as_deref().unwrap_or_default();
        let mut parts = vec![self.event_type.as_bytes(), &self.data, media.as_bytes()];
        for (name, value) in self.others.iter().filter(|(name, _)| !OF_THE_WAY.contains(&name.as_str())) {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        parts
    }

    /// Events of one key are handled in order: of one partition key, else of one subject.
    pub fn key(&self) -> &str {
        self.others.get("partitionkey").or_else(|| self.others.get("subject")).unwrap_or(&self.id)
    }
}

fn check_attribute(name: &str, value: &str) -> Result<(), String> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_name {
        let allowed = format!("1 to {NAME_BYTES_MAX} lower-case letters and digits");
        return Err(format!("{name:?} is no attribute's name; allowed: {allowed}"));
    }
    // In binary mode the one is the body and the other its Content-Type; in JSON they were taken out already.
    if ["data", "datacontenttype"].contains(&name) {
        return Err(format!("{name} is no attribute here"));
    }
    check_text(name, value)
}

fn check_text(name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{name} is empty"));
    }
    if value.len() > ATTRIBUTE_BYTES_MAX {
        return Err(format!("{name} has {} bytes; allowed: {ATTRIBUTE_BYTES_MAX}", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{name} has a control character"));
    }
    Ok(())
}

fn check_source(source: &str) -> Result<(), String> {
    if source.chars().any(char::is_whitespace) || source.contains(NOT_IN_URIS) {
        return Err(format!("source is {source:?}; allowed: a URI reference"));
    }
    match source.strip_prefix(OUR_SOURCES) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            Err(format!("source is {source:?}; allowed: one that is not below {OUR_SOURCES}/, which is COAFI itself"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_to_say_is_left_out() {
        let taken = |correlation: &str| {
            let given = [("replyto", "x"), ("workflowhops", "31"), ("correlationid", correlation), ("tenantid", "t")];
            let own = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")];
            let all = own.into_iter().chain(given).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Incoming::new(all, None, Bytes::new()).unwrap().others
        };
        let named = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(taken("c-1~bitt~bitt"), named(&[("correlationid", "c-1"), ("tenantid", "t")]));
        assert_eq!(taken("c~bitt-1"), named(&[("correlationid", "c~bitt-1"), ("tenantid", "t")]));
        assert_eq!(taken("~bitt"), named(&[("tenantid", "t")]));
    }
}
