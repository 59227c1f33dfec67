//! What of events' data is told to nobody but handlers.

use super::section::Section;
use crate::dispatch::redaction::{FieldPath, Messages, Redaction, RedactionRule};
use crate::dispatch::routes::Patterns;

pub(super) fn read(root: &mut Section<'_>) -> Redaction {
    Redaction { rules: root.sections("redaction", "types", rule) }
}

fn rule(section: &mut Section<'_>) -> RedactionRule {
    let types = section.texts("types", &[]);
    if types.is_empty() {
        section.reject("types", "is missing; allowed: globs of event types, such as crm.*");
    }
    let types = Patterns::new(types).unwrap_or_else(|(glob, why)| {
        section.reject("types", format!("{glob:?} is not allowed: {why}; allowed: globs, such as crm.*"));
        Patterns::any()
    });
    let mut fields = Vec::new();
    for text in section.texts("fields", &[]) {
        match FieldPath::parse(&text) {
            Some(path) => fields.push(path),
            None => {
                section.reject(
                    "fields",
                    format!("{text:?} is not allowed; allowed: JSON Pointers, such as /people/*/mail"),
                );
            }
        }
    }
    if fields.is_empty() {
        // All of the data.
        fields.extend(FieldPath::parse(""));
    }
    RedactionRule { types, fields, messages: section.choice("messages", &Messages::ALL) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::loaded;

    #[test]
    fn a_type_alone_hides_all_of_its_data() {
        let yaml = "redaction:\n  - crm.person\n  - {types: [api.request, 'hr.*'], fields: [/body/mail], messages: withhold}\n";
        let redaction = loaded(yaml, &[]).unwrap().settings.redaction;
        let [all, some] = &redaction.rules[..] else { panic!("{redaction:?}") };
        assert_eq!((all.fields[0].to_string(), all.messages), (String::new(), Messages::Scrub));
        assert_eq!((some.fields[0].to_string(), some.messages), ("/body/mail".to_owned(), Messages::Withhold));
        assert!(some.types.matches("hr.pay") && !some.types.matches("git.push"));
        assert!(loaded("", &[]).unwrap().settings.redaction.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (yaml, said) in [
            ("redaction: [{fields: [/a]}]", "redaction[0].types: is missing"),
            ("redaction: [{types: ['a.[']}]", "redaction[0].types: \"a.[\" is not allowed"),
            (
                "redaction: [{types: [a], fields: [mail]}]",
                "redaction[0].fields: \"mail\" is not allowed; allowed: JSON",
            ),
            ("redaction: [{types: [a], messages: none}]", "allowed: scrub, withhold"),
        ] {
            let error = loaded(yaml, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{yaml}: {error}");
        }
    }
}
