//! `coafi schemas`.

use clap::Subcommand;
use serde_json::json;

use super::Answer;
use super::answer::table;
use crate::kafka::topics::Declaration;
use crate::schema::SchemaId;
use crate::schema::register::{self, Finding, State};
use crate::schema::registry::{Client, Settings};

/// The schemas of `avro/` in the registry, one subject per topic and record.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Schemas {
    /// Check that data of every registered version can still be read.
    #[command(after_help = "Examples:
  coafi schemas check
  coafi schemas check --output json

Exit codes: 0 it can, 1 something breaks, which is shown, 2 the configuration or a declaration is
wrong, 3 the schema registry does not answer.")]
    Check,
    /// Register the schemas, after the same check.
    #[command(after_help = "Examples:
  coafi schemas register
  COAFI__TOPICS_DIR=./topics coafi schemas register    # those of other declarations

Exit codes: 0 registered, 1 something would break and nothing is registered, or the registry refuses
one, 2 the configuration or a declaration is wrong, 3 the schema registry does not answer.")]
    Register,
}

impl Schemas {
    /// # Errors
    /// The registry does not answer ([`crate::schema::registry::RegistryError`]), or refuses one ([`register::NotRegistered`]).
    pub(crate) async fn run(self, settings: Settings, declarations: &[Declaration]) -> anyhow::Result<Answer> {
        let client = Client::new(settings)?;
        let entries = register::entries(declarations);
        let findings = register::check(&client, &entries).await?;
        let passed = findings.iter().all(|finding| finding.state != State::Incompatible);
        let ids = match self {
            Self::Register if passed => register::register(&client, &entries).await?,
            Self::Register | Self::Check => Vec::new(),
        };
        Ok(answer(self, &findings, &ids, passed))
    }
}

fn answer(verb: Schemas, findings: &[Finding], ids: &[(String, SchemaId)], passed: bool) -> Answer {
    let last = match (verb, passed) {
        (_, false) => "not compatible: data that is in the topics could not be read; nothing was registered".to_owned(),
        (Schemas::Check, true) => format!("{} subjects are compatible", findings.len()),
        (Schemas::Register, true) => format!("{} subjects are registered", ids.len()),
    };
    let id = |subject: &str| ids.iter().find(|(known, _)| known == subject).map(|(_, id)| id.0);
    let mut rows = Vec::new();
    for Finding { subject, file, state, problems } in findings {
        let mut state =
            serde_json::to_value(state).ok().and_then(|s| s.as_str().map(str::to_owned)).unwrap_or_default();
        if let Some(id) = id(subject) {
            state = format!("registered as id {id}");
        }
        if problems.is_empty() {
            rows.push([subject.clone(), file.clone(), state.clone(), String::new(), String::new(), String::new()]);
        }
        for problem in problems {
            let version = problem.version.map_or_else(String::new, |version| version.to_string());
            let (field, reason) = (problem.field.clone(), problem.reason.clone());
            rows.push([subject.clone(), file.clone(), state.clone(), version, field, reason]);
        }
    }
    let header = ["subject", "file", "state", "version", "field", "reason"];
    let ids: serde_json::Map<String, serde_json::Value> =
        ids.iter().map(|(subject, id)| (subject.clone(), id.0.into())).collect();
    let json = json!({"subjects": findings, "registered": ids, "compatible": passed});
    Answer { json, text: table(header, rows, &last), yes: passed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::BuiltinRegistry;

    #[tokio::test]
    async fn check_register_and_a_break() {
        let declarations = crate::kafka::topics::embedded().unwrap();
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let run = async |verb: Schemas, url: &str| verb.run(Settings::new(url), &declarations).await.unwrap();
        let states = |answer: &Answer| {
            let subjects = answer.json["subjects"].as_array().unwrap().iter();
            subjects
                .map(|subject| subject["state"].as_str().unwrap().to_owned())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let before = run(Schemas::Check, registry.url()).await;
        assert_eq!((before.yes, states(&before)), (true, ["new".to_owned()].into()));
        let done = run(Schemas::Register, registry.url()).await;
        assert!(done.yes && done.text.contains("registered as id"), "{}", done.text);
        let after = run(Schemas::Check, registry.url()).await;
        assert_eq!((after.yes, states(&after)), (true, ["registered".to_owned()].into()));

        let other = BuiltinRegistry::start(&[]).await.unwrap();
        let subject = "coafi.git-org.coafi.events.GitPushEventPayload";
        let old = r#"{"type":"record","name":"GitPushEventPayload","namespace":"org.coafi.events","fields":[{"name":"branch","type":"int"}]}"#;
        let client = Client::new(Settings::new(other.url())).unwrap();
        client.register(subject, old).await.unwrap();
        for verb in [Schemas::Check, Schemas::Register] {
            let broken = run(verb, other.url()).await;
            assert!(!broken.yes && broken.text.contains("branch"), "{}", broken.text);
            assert_eq!(broken.json["registered"], json!({}));
        }
        assert_eq!(client.versions(subject).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn what_was_registered_before_one_was_refused_is_said() {
        let declarations = crate::kafka::topics::embedded().unwrap();
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let mut entries = register::entries(&declarations);
        let (first, second) = (entries[0].clone(), entries[1].clone());
        entries.truncate(2);
        // Under one subject, the second is no version of the first.
        entries[1].subject = first.subject.clone();
        assert_ne!(first.file.text(), second.file.text());
        let client = Client::new(Settings::new(registry.url())).unwrap();
        let error = register::register(&client, &entries).await.unwrap_err();
        let expected = format!("subject {} is not registered; 1 of 2 are, those before it", first.subject);
        assert_eq!(error.to_string(), expected);
        let failure = super::super::Failure::from(anyhow::Error::new(error));
        assert_eq!(failure.exit(), super::super::Exit::No, "it is there, and refuses");
    }
}
