//! The YAML files of a deployment: routes, workflows, topics, and the configuration.

use super::{Target, choice, text};
use crate::dispatch::{Known, Routes};
use crate::kafka::topics::Declaration;
use crate::schema::Schemas;
use crate::workflow::{Definition, mermaid};

inventory::submit! { Target { name: "definitions", run } }

fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    let Some(text) = text(rest) else { return };
    match kind % 4 {
        0 => routes(text),
        1 => workflow(text),
        2 => drop(Declaration::parse("fuzz.yaml", text, &Schemas::built_in())),
        _ => crate::config::fuzzing::text(text),
    }
}

fn routes(text: &str) {
    let known = Known {
        handlers: ["log", "noop", "git_commit"].map(str::to_owned).into(),
        topics: [("coafi.git".to_owned(), Vec::new()), ("coafi.api".to_owned(), Vec::new())].into(),
    };
    let Ok(routes) = Routes::parse("fuzz.yaml", text, &known) else { return };
    let again = Routes::parse("fuzz.yaml", text, &known).expect("it was read before");
    assert_eq!(routes.version(), again.version());
    if let Some(found) = routes.find("coafi.git", "git.commit", "https://example.org/repo") {
        assert!(routes.route(found).handlers.iter().all(|handler| known.handlers.contains(handler)));
    }
}

fn workflow(text: &str) {
    if let Ok(definition) = Definition::parse("fuzz.yaml", text, None) {
        let _drawn = mermaid(&definition, None);
    }
}
