//! Expressions in filters and workflows.

use serde_json::json;

use super::{Target, text};
use crate::expression::{Expression, value_of};

inventory::submit! { Target { name: "expressions", run } }

fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(expression) = Expression::compile(text, &["event", "data"]) else { return };
    assert_eq!(expression.text(), text);
    let members = expression.members_of("data");
    assert!(members.is_empty() || expression.names("data"), "{members:?}");
    let data = json!({"n": 7, "x": 1.5, "text": "{\"a\": [1]}", "list": [1, -2, null], "deep": {"b": true}});
    let event = json!({"id": "1", "type": "git.push", "source": "/repo"});
    let _value = expression.evaluate([("event", value_of(&event)), ("data", value_of(&data))]);
}
