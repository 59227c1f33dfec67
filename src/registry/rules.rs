//! What the configuration says of registries by name: what their entries are like, whether writers have to say which version
//! they change, how much of the past is kept, and who is told of changes. One that it does not name is open.

use std::collections::BTreeMap;

use globset::GlobMatcher;
use serde_json::Value;

use super::dependants;
use crate::schema::Shape;
use crate::store::HistoryKept;

/// Who is told when entries change whose names the pattern matches.
#[derive(Clone, Debug)]
pub struct Dependant {
    pub entries: GlobMatcher,
    pub subscriber: String,
    /// Of notifications, that is told besides.
    pub channel: Option<String>,
}

/// What holds of one registry.
#[derive(Debug, Default)]
pub struct Rule {
    pub shape: Option<Shape>,
    /// A request over HTTP has to say which version it changes.
    pub requires_match: bool,
    pub kept: HistoryKept,
    pub dependants: Vec<Dependant>,
}

/// The rules of every registry that has any.
#[derive(Debug, Default)]
pub struct Rules(BTreeMap<String, Rule>);

impl Rules {
    #[must_use]
    pub const fn new(rules: BTreeMap<String, Rule>) -> Self {
        Self(rules)
    }

    #[must_use]
    pub fn get(&self, registry: &str) -> Option<&Rule> {
        self.0.get(registry)
    }

    /// What is wrong with an entry's data; nothing is of a deletion (`null`).
    #[must_use]
    pub fn errors(&self, registry: &str, data: &Value) -> Vec<String> {
        if data.is_null() {
            return Vec::new();
        }
        let mut errors = if registry == dependants::REGISTRY { dependants::errors(data) } else { Vec::new() };
        errors
            .extend(self.get(registry).and_then(|rule| rule.shape.as_ref()).map_or_else(Vec::new, |s| s.errors(data)));
        errors
    }

    #[must_use]
    pub fn requires_match(&self, registry: &str) -> bool {
        self.get(registry).is_some_and(|rule| rule.requires_match)
    }

    /// Who the configuration says is told of changes.
    #[must_use]
    pub fn dependants(&self, registry: &str) -> &[Dependant] {
        self.get(registry).map_or(&[], |rule| &rule.dependants)
    }

    /// Registries whose entries have a schema.
    pub fn shaped(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, rule)| rule.shape.is_some()).map(|(registry, _)| registry.as_str())
    }

    /// Registries of which not all history is kept.
    pub fn trimmed(&self) -> impl Iterator<Item = (&str, HistoryKept)> {
        let trimmed = self.0.iter().filter(|(_, rule)| !rule.kept.is_everything());
        trimmed.map(|(registry, rule)| (registry.as_str(), rule.kept))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        let shape = Shape::compile(&json!({"required": ["status"]})).unwrap();
        let dependant = |pattern: &str, subscriber: &str| Dependant {
            entries: globset::Glob::new(pattern).unwrap().compile_matcher(),
            subscriber: subscriber.to_owned(),
            channel: None,
        };
        let dependants = vec![dependant("wing-*", "wings"), dependant("*", "all")];
        let rule = Rule { shape: Some(shape), requires_match: true, dependants, ..Rule::default() };
        Rules::new([("parts".to_owned(), rule)].into())
    }

    #[test]
    fn a_registry_that_is_not_named_is_open() {
        let rules = rules();
        assert_eq!(rules.errors("parts", &json!({})).len(), 1);
        assert!(rules.errors("parts", &json!({"status": 1})).is_empty());
        assert!(rules.errors("parts", &Value::Null).is_empty(), "a deletion");
        assert!(rules.errors("others", &json!({})).is_empty());
        assert!(rules.requires_match("parts") && !rules.requires_match("others"));
        assert_eq!(rules.trimmed().count(), 0);
        assert_eq!(rules.shaped().collect::<Vec<_>>(), ["parts"]);
    }

    #[test]
    fn who_is_told_goes_by_the_entrys_name() {
        let rules = rules();
        let told = |registry, entry| {
            let dependants = rules.dependants(registry).iter().filter(|dependant| dependant.entries.is_match(entry));
            dependants.map(|dependant| dependant.subscriber.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(told("parts", "wing-7/left"), ["wings", "all"]);
        assert_eq!(told("parts", "tail"), ["all"]);
        assert!(told("others", "wing-7").is_empty());
    }
}
