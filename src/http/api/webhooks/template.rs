//! What a sender signs: the body, alone or with its id and its time.

use std::fmt;
use std::str::FromStr;

/// Text with `{body}`, `{timestamp}` and `{id}` in it, such as `{timestamp}.{body}` or `v0:{timestamp}:{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    Timestamp,
    Id,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed: text with {{body}} once, and {{timestamp}} and {{id}} where they are signed")]
pub struct BadTemplate;

impl Template {
    #[must_use]
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    #[must_use]
    pub fn has_id(&self) -> bool {
        self.0.contains(&Part::Id)
    }

    /// The signed bytes, in parts.
    pub(super) fn fill<'a>(&'a self, body: &'a [u8], timestamp: &'a str, id: &'a str) -> Vec<&'a [u8]> {
        let fill = |part: &'a Part| match part {
            Part::Text(text) => text.as_bytes(),
            Part::Body => body,
            Part::Timestamp => timestamp.as_bytes(),
            Part::Id => id.as_bytes(),
        };
        self.0.iter().map(fill).collect()
    }
}

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(BadTemplate)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "body" => Part::Body,
                "timestamp" => Part::Timestamp,
                "id" => Part::Id,
                _ => return Err(BadTemplate),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let bodies = parts.iter().filter(|part| **part == Part::Body).count();
        if bodies == 1 { Ok(Self(parts)) } else { Err(BadTemplate) }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Body => f.write_str("{body}"),
            Part::Timestamp => f.write_str("{timestamp}"),
            Part::Id => f.write_str("{id}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_come_back_as_they_were_written_and_are_filled() {
        for (text, filled) in
            [("{body}", "B"), ("v0:{timestamp}:{body}", "v0:7:B"), ("{id}.{timestamp}.{body}!", "i.7.B!")]
        {
            let template: Template = text.parse().unwrap();
            assert_eq!(template.to_string(), text);
            assert_eq!(template.fill(b"B", "7", "i").concat(), filled.as_bytes());
        }
        for text in ["", "{timestamp}", "{body}{body}", "{body", "{other}{body}"] {
            assert_eq!(text.parse::<Template>(), Err(BadTemplate), "{text}");
        }
    }
}
