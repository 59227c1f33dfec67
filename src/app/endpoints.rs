//! Endpoints of the configuration against what is declared.

use super::known_emitted;
use crate::config::Settings;
use crate::kafka::topics::Declaration;

/// What an endpoint may answer has a topic that takes events, and whose declaration names its schema.
///
/// # Errors
/// The first that has not.
pub(super) fn check(settings: &Settings, declarations: &[Declaration]) -> anyhow::Result<()> {
    let known = known_emitted(settings, declarations);
    for endpoint in &settings.endpoints {
        for (event_type, topic) in &endpoint.emits {
            let at = || format!("endpoint {:?}: emits.{event_type}: {topic:?}", endpoint.name);
            let Some(types) = known.topics.get(topic) else {
                let all: Vec<&str> = known.topics.keys().map(String::as_str).collect();
                anyhow::bail!("{} is no declared topic of events; allowed: {}", at(), all.join(", "));
            };
            let listed: Vec<&str> = types.iter().map(String::as_str).collect();
            anyhow::ensure!(
                types.contains(event_type),
                "{} does not declare a schema of this type; it declares: {}",
                at(),
                listed.join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Callee, HttpEndpoint};
    use crate::kafka::topics;

    fn check(event_type: &str, topic: &str) -> Result<(), String> {
        let endpoint = HttpEndpoint {
            name: "enrich".to_owned(),
            url: Callee::parse("https://enrich.example").unwrap(),
            secrets: Vec::new(),
            timeout: Duration::from_secs(1),
            answer_max_bytes: 1,
            emits: [(event_type.to_owned(), topic.to_owned())].into(),
        };
        let settings = Settings { endpoints: vec![endpoint], ..Settings::default() };
        super::check(&settings, &topics::embedded().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_an_endpoint_emits_has_a_topic_that_declares_it() {
        assert_eq!(check("git.push", "coafi.git"), Ok(()));
        let undeclared = check("git.push", "coafi.nowhere").unwrap_err();
        assert!(undeclared.contains("emits.git.push") && undeclared.contains("coafi.git"), "{undeclared}");
        let other = check("git.push", "coafi.bitt").unwrap_err();
        assert!(other.contains("does not declare"), "{other}");
        // Nobody else may write what COAFI says of itself.
        assert!(check("bitt.outcome", "coafi.bitt.records").is_err());
    }
}
