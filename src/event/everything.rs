//! All attributes of an event, those that COAFI does not read too: for who hands it on to others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attributes::is_structured;
use super::{Attribute, Event};

/// What is no attribute in binary mode, where the data is the body and its media type a header's.
const NOT_HERE: [&str; 3] = ["data", "data_base64", "datacontenttype"];

impl Event {
    /// By name, without the data's media type. What has no CloudEvents name, no text or an empty one is left out.
    #[must_use]
    pub fn everything(&self) -> BTreeMap<String, String> {
        let headers = self.record().headers();
        let mut all = BTreeMap::new();
        let mut structured = false;
        for (name, value) in headers.iter() {
            let Some(value) = value else { continue };
            structured |= name.eq_ignore_ascii_case(b"content-type") && is_structured(value);
            let name = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("ce_"));
            if let (Some(name), Ok(value)) = (name, std::str::from_utf8(value)) {
                all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        if structured {
            let members = self.record().value().and_then(|value| serde_json::from_slice(value).ok());
            all = members.map(scalars).unwrap_or_default();
        }
        let read = Attribute::ALL.into_iter().filter_map(|read| Some((read.name(), self.attribute(read)?)));
        all.extend(read.map(|(name, value)| (name.to_owned(), value.to_owned())));
        all.insert(Attribute::SpecVersion.name().to_owned(), "1.0".to_owned());
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        all.retain(|name, value| {
            !name.is_empty() && is_name(name) && !NOT_HERE.contains(&name.as_str()) && !value.is_empty()
        });
        all
    }
}

fn scalars(members: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    fn everything(value: &[u8], headers: &[(&str, &str)]) -> String {
        let mut builder = RecordBuilder::new(None, Some(value), 0);
        headers.iter().for_each(|(name, value)| builder.header(name.as_bytes(), Some(value.as_bytes())));
        let event = Event::parse(builder.build("t".into(), 0, Offset(0), None)).unwrap();
        event.everything().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn extensions_of_others_are_there_in_both_modes() {
        let binary = [
            ("ce_id", "1"),
            ("ce_source", "/s"),
            ("ce_type", "t"),
            ("ce_colour", "red"),
            ("ce_Odd", "x"),
            ("ce_empty", ""),
            ("content-type", "text/plain"),
            ("coafi-attempt", "1"),
        ];
        let all = "colour=red id=1 source=/s specversion=1.0 type=t";
        assert_eq!(everything(b"x", &binary), all);
        let structured =
            br#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "colour": "red", "n": 7, "no": null,
            "data": "x", "datacontenttype": "text/plain"}"#;
        let media = [("content-type", "application/cloudevents+json"), ("ce_forged", "x")];
        assert_eq!(everything(structured, &media), "colour=red id=1 n=7 source=/s specversion=1.0 type=t");
    }
}
