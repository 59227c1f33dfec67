//! What of events' data is told to nobody but their handlers: not in the log, not in messages of failures (which audit records,
//! dead letters, notifications and replies repeat), not by `coafi dlq show`. Records themselves stay as they are.

use serde_json::Value;

use super::routes::Patterns;
use super::{Failure, Services};
use crate::engine::Class;
use crate::event::Event;

/// Stands for what is hidden.
pub const REDACTED: &str = "[redacted]";
/// Stands for a message that might quote what is hidden.
pub const WITHHELD: &str = "[withheld: it may quote data that is redacted]";
/// A message in which a hidden value this short is found is withheld: it may be anything.
const RECOGNISED_CHARS: usize = 4;
/// Hidden values of one event that are looked for in a message; with more it is withheld.
const LOOKED_FOR_MAX: usize = 1_000;

/// All rules; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redaction {
    pub rules: Vec<RedactionRule>,
}

/// What is hidden of events of some types.
#[derive(Clone, Debug, PartialEq)]
pub struct RedactionRule {
    /// Of CloudEvents `type`.
    pub types: Patterns,
    pub fields: Vec<FieldPath>,
    pub messages: Messages,
}

/// What becomes of a failure's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Hidden values are looked for in them, and replaced.
    Scrub,
    /// Nothing of them is told; code and class are.
    Withhold,
}

impl Messages {
    pub const ALL: [(&str, Self); 2] = [("scrub", Self::Scrub), ("withhold", Self::Withhold)];
}

/// A JSON Pointer (RFC 6901) in which `*` stands for any member or element. It leads into texts that are JSON themselves, such
/// as the body of a request. The empty one is all of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// `None` if it is no JSON Pointer.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let names = text.strip_prefix('/')?.split('/');
        names.map(unescaped).collect::<Option<_>>().map(Self)
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.try_fold(first, |text, part| match part.split_at_checked(1)? {
        ("0", rest) => Some(text + "~" + rest),
        ("1", rest) => Some(text + "/" + rest),
        _ => None,
    })
}

impl Redaction {
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.rules.is_empty()
    }

    /// What holds of events of this type; `None` if nothing of them is hidden.
    #[must_use]
    pub fn of(&self, event_type: &str) -> Option<Redactor<'_>> {
        let rules: Vec<_> = self.rules.iter().filter(|rule| rule.types.matches(event_type)).collect();
        (!rules.is_empty()).then_some(Redactor(rules))
    }

    /// Whether the bytes of a record may be shown: those of what is no event could be anybody's.
    #[must_use]
    pub fn shows(&self, event: Option<&Event>) -> bool {
        event.map_or(self.is_none(), |event| self.of(event.event_type()).is_none())
    }

    /// Makes a failure of an event's handler one that may be told.
    pub(super) async fn apply(&self, event: &Event, failure: &mut Failure, services: &Services) {
        // What a dependency says of itself is about no event's data.
        let told = matches!(failure.class, Class::Systemic(_));
        let Some(redactor) = self.of(event.event_type()).filter(|_| !told) else { return };
        let scrubber = match redactor.withholds() {
            true => None,
            false => services.codec.decode_json(event).await.ok().and_then(|mut data| redactor.hide(&mut data)),
        };
        let text = |text: &mut String| {
            *text = scrubber.as_ref().map_or_else(|| WITHHELD.to_owned(), |scrubber| scrubber.text(text));
        };
        text(&mut failure.message);
        failure.errors.iter_mut().for_each(text);
        for step in &mut failure.steps {
            texts_of(&mut step.detail, &text);
        }
    }
}

/// The rules that hold of one type.
#[derive(Debug)]
pub struct Redactor<'a>(Vec<&'a RedactionRule>);

impl Redactor<'_> {
    fn withholds(&self) -> bool {
        self.0.iter().any(|rule| rule.messages == Messages::Withhold)
    }

    /// Replaces what is hidden of the event's data, and gives what finds it elsewhere; `None` if it is too much to look for.
    pub fn hide(&self, data: &mut Value) -> Option<Scrubber> {
        let mut hidden = Vec::new();
        for path in self.0.iter().flat_map(|rule| &rule.fields) {
            hide(data, &path.0, &mut hidden);
        }
        (hidden.len() <= LOOKED_FOR_MAX).then(|| Scrubber::new(hidden))
    }
}

fn hide(value: &mut Value, path: &[String], hidden: &mut Vec<String>) {
    let Some((name, rest)) = path.split_first() else {
        let was = std::mem::replace(value, REDACTED.into());
        return scalars(was, hidden);
    };
    match value {
        Value::Object(members) if name == "*" => members.values_mut().for_each(|value| hide(value, rest, hidden)),
        Value::Array(elements) if name == "*" => elements.iter_mut().for_each(|value| hide(value, rest, hidden)),
        Value::Object(members) => {
            if let Some(value) = members.get_mut(name) {
                hide(value, rest, hidden);
            }
        }
        Value::Array(elements) => {
            if let Some(value) = name.parse().ok().and_then(|index: usize| elements.get_mut(index)) {
                hide(value, rest, hidden);
            }
        }
        Value::String(text) => {
            // A text that is JSON; of one that is not, nothing can be told apart.
            match serde_json::from_str::<Value>(text) {
                Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                    let before = hidden.len();
                    hide(&mut inner, path, hidden);
                    if hidden.len() > before {
                        *text = inner.to_string();
                    }
                }
                _ => hidden.push(std::mem::replace(text, REDACTED.to_owned())),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn scalars(value: Value, into: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => into.push(value.to_string()),
        Value::String(text) => into.push(text),
        Value::Array(elements) => elements.into_iter().for_each(|element| scalars(element, into)),
        Value::Object(members) => members.into_iter().for_each(|(_, member)| scalars(member, into)),
    }
}

/// Finds hidden values of one event in texts about it.
#[derive(Debug)]
pub struct Scrubber {
    /// The longest first: a part of one may be another.
    values: Vec<String>,
}

impl Scrubber {
    fn new(hidden: Vec<String>) -> Self {
        let mut values = Vec::with_capacity(hidden.len());
        for text in hidden.into_iter().filter(|text| !text.is_empty() && text != REDACTED) {
            // As messages quote it: as JSON or Rust does.
            for quoted in [Value::from(&*text).to_string(), format!("{text:?}")] {
                let inner = &quoted[1..quoted.len() - 1];
                if inner != text {
                    values.push(inner.to_owned());
                }
            }
            values.push(text);
        }
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        Self { values }
    }

    /// The text without them. A part of a value, or one that was changed, is not recognised.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for value in self.values.iter().filter(|value| text.contains(&***value)) {
            if value.chars().count() < RECOGNISED_CHARS {
                return WITHHELD.to_owned();
            }
            scrubbed = scrubbed.replace(value, REDACTED);
        }
        scrubbed
    }
}

fn texts_of(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(elements) => elements.iter_mut().for_each(|element| texts_of(element, change)),
        Value::Object(members) => members.values_mut().for_each(|member| texts_of(member, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction(types: &str, fields: &[&str]) -> Redaction {
        let fields = fields.iter().map(|path| FieldPath::parse(path).unwrap()).collect();
        let types = Patterns::new(vec![types.to_owned()]).unwrap();
        Redaction { rules: vec![RedactionRule { types, fields, messages: Messages::Scrub }] }
    }

    fn hidden(fields: &[&str], mut data: Value) -> Value {
        redaction("*", fields).of("any").unwrap().hide(&mut data);
        data
    }

    #[test]
    fn fields_are_hidden_where_their_path_leads() {
        let data = || json!({"a": {"b": "x", "c": 1}, "list": [{"n": "y"}, {"n": 2}], "d~/": true, "none": null});
        for (fields, expected) in [
            (
                &["/a/b"][..],
                json!({"a": {"b": REDACTED, "c": 1}, "list": [{"n": "y"}, {"n": 2}], "d~/": true, "none": null}),
            ),
            (&["/a", "/a/b"], json!({"a": REDACTED, "list": [{"n": "y"}, {"n": 2}], "d~/": true, "none": null})),
            (
                &["/list/*/n"],
                json!({"a": {"b": "x", "c": 1}, "list": [{"n": REDACTED}, {"n": REDACTED}], "d~/": true, "none": null}),
            ),
            (
                &["/list/1/n"],
                json!({"a": {"b": "x", "c": 1}, "list": [{"n": "y"}, {"n": REDACTED}], "d~/": true, "none": null}),
            ),
            (
                &["/d~0~1", "/list/7", "/a/z", "/none/x"],
                json!({"a": {"b": "x", "c": 1}, "list": [{"n": "y"}, {"n": 2}], "d~/": REDACTED, "none": null}),
            ),
            (&[""], json!(REDACTED)),
        ] {
            assert_eq!(hidden(fields, data()), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_path_leads_into_a_text_that_is_json() {
        let hide = |body: &str| hidden(&["/body/mail"], json!({"body": body}))["body"].clone();
        assert_eq!(hide(r#"{"mail":"a@b.c","n":1}"#), json!(r#"{"mail":"[redacted]","n":1}"#));
        assert_eq!(hide(r#"{ "n": 1 }"#), json!(r#"{ "n": 1 }"#), "it stays as it was written");
        assert_eq!(hide("mail=a@b.c"), json!(REDACTED), "what it is cannot be told");
    }

    #[test]
    fn paths_are_json_pointers() {
        for text in ["", "/a", "/a/*/b~0~1", "/"] {
            assert_eq!(FieldPath::parse(text).unwrap().to_string(), text);
        }
        for text in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(FieldPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hidden_values_are_found_in_messages() {
        let scrub = |data: Value, text: &str| {
            let mut data = data;
            redaction("*", &["/secret"]).of("any").unwrap().hide(&mut data).unwrap().text(text)
        };
        let of = |secret: Value, text: &str| scrub(json!({"secret": secret, "n": "open"}), text);
        assert_eq!(of(json!("ada@b.c"), "\"ada@b.c\" is no number; open"), "\"[redacted]\" is no number; open");
        assert_eq!(of(json!("two\nlines\"x"), r#"got "two\nlines\"x""#), r#"got "[redacted]""#);
        assert_eq!(of(json!(["ada", "ada lovelace"]), "ada lovelace is not here"), WITHHELD);
        assert_eq!(of(json!(["lovelace", "ada lovelace"]), "ada lovelace is not here"), "[redacted] is not here");
        assert_eq!(of(json!(7), "7 is too much"), WITHHELD, "it may be any 7");
        assert_eq!(of(json!(7), "it is too much"), "it is too much");
        assert_eq!(of(json!(12_345), "12345 is too much"), "[redacted] is too much");
        assert_eq!(of(json!(""), "it is empty"), "it is empty");
        let many: Vec<_> = (0..=LOOKED_FOR_MAX).collect();
        assert!(redaction("*", &["/secret"]).of("any").unwrap().hide(&mut json!({"secret": many})).is_none());
    }

    #[test]
    fn rules_of_all_patterns_that_match_hold() {
        let mut both = redaction("crm.*", &["/a"]);
        both.rules.extend(redaction("crm.person", &["/b"]).rules);
        let hide = |event_type: &str| {
            let mut data = json!({"a": 1, "b": 2});
            both.of(event_type).map(|redactor| redactor.hide(&mut data));
            data
        };
        assert_eq!(hide("crm.person"), json!({"a": REDACTED, "b": REDACTED}));
        assert_eq!(hide("crm.order"), json!({"a": REDACTED, "b": 2}));
        assert_eq!(hide("git.push"), json!({"a": 1, "b": 2}));
        assert!(!both.shows(None) && Redaction::default().shows(None));
    }
}
