//! Who is told, once, alone or with others; over a real store and the built-in registry.

use serde_json::{Value, json};

use super::*;
use crate::config::Callee;
use crate::engine::Class;
use crate::handlers::git_commit::tests::world::World;
use crate::notify::{Alertmanager, Channel, ChannelKind, Notifier, NotifierParts, Rule, Severity, Templates};
use crate::dispatch::routes::Patterns;
use crate::schema::Payload as _;
use std::time::Duration;

fn channel(name: &str) -> Channel {
    let url = Callee::parse("http://127.0.0.1:9").unwrap();
    let resolve_after = Duration::from_secs(60);
    let kind = ChannelKind::Alertmanager(Alertmanager { url, username: None, password: None, resolve_after });
    Channel { name: name.to_owned(), direct: false, kind }
}

async fn world(group_wait: Duration) -> World {
    let pace = Pace { dedup_window: Duration::from_secs(3_600), group_wait };
    let rule = |severity, channels: &[&str]| Rule {
        severity,
        sources: Patterns::any(),
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
        pace,
    };
    let parts = NotifierParts {
        channels: ["chat", "mail"].map(channel).to_vec(),
        rules: vec![rule(Severity::Critical, &["mail"]), rule(Severity::Warning, &["chat"])],
        pace,
        ..NotifierParts::default()
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("late.txt"), "{{ data.part }} is late").unwrap();
    let mut world = World::new().await;
    world.tell(Notifier::new(parts, Templates::load(Some(directory.path())).unwrap()).unwrap());
    world
}

async fn ask(world: &World, data: &Value) -> Result<Success, Failure> {
    world.handle_by(&NotificationHandler, NotificationRequested::EVENT_TYPE, data).await
}

#[tokio::test]
async fn channels_are_told_by_the_rules_or_by_name_and_a_second_run_gives_the_same() {
    let world = world(Duration::ZERO).await;
    let critical = json!({"title": "t", "severity": "critical"});
    let first = ask(&world, &critical).await.unwrap();
    assert_eq!(first.message, "told: chat, mail");
    assert_eq!(ask(&world, &critical).await.unwrap(), first);
    let sources: Vec<&str> = first.emit.iter().map(|event| event.source.as_str()).collect();
    assert_eq!(sources, ["/coafi/notifications/alertmanager/chat", "/coafi/notifications/alertmanager/mail"]);
    assert_ne!(first.emit[0].id, first.emit[1].id);
    assert_eq!(first.emit[0].tenant.as_deref(), Some("chat"));
    let told = async |data: Value| ask(&world, &data).await.unwrap().message;
    assert_eq!(told(json!({"title": "u", "severity": "warning"})).await, "told: chat");
    assert_eq!(told(json!({"title": "u"})).await, "no rule matches: nobody is told");
    assert_eq!(told(json!({"title": "u", "channels": ["mail"]})).await, "told: mail");
}

#[tokio::test]
async fn what_was_said_is_not_said_again_until_it_is_over() {
    let world = world(Duration::ZERO).await;
    let told = async |text: &str, resolved: bool| {
        let data = json!({"title": "down", "text": text, "dedupKey": "db", "resolved": resolved, "channels": ["chat"]});
        ask(&world, &data).await.unwrap().message
    };
    assert_eq!(told("1", false).await, "told: chat");
    assert_eq!(told("2", false).await, "told before: chat");
    assert_eq!(told("3", true).await, "told: chat");
    assert_eq!(told("4", true).await, "told before: chat");
    assert_eq!(told("5", false).await, "told: chat");
}

#[tokio::test]
async fn those_of_one_group_wait_for_each_other() {
    let world = world(Duration::from_secs(3_600)).await;
    for n in ["one", "two"] {
        let asked = ask(&world, &json!({"title": n, "groupKey": "g", "channels": ["chat"]})).await.unwrap();
        assert_eq!((asked.message.as_str(), asked.emit.len()), ("to be told with others: chat", 0));
    }
    let due = world.store.lease_notices(&world.fence.group, 10, Duration::from_secs(60)).await.unwrap();
    assert!(due.is_empty(), "{due:?}");
    let alone = ask(&world, &json!({"title": "three", "channels": ["chat"]})).await.unwrap();
    assert_eq!((alone.message.as_str(), alone.emit.len()), ("told: chat", 1));
}

#[tokio::test]
async fn a_text_is_made_by_its_template_and_what_cannot_be_meant_is_invalid() {
    let world = world(Duration::ZERO).await;
    let asked = json!({"title": " late\n", "template": "late", "data": "{\"part\": \"wing\"}", "channels": ["chat"]});
    let success = ask(&world, &asked).await.unwrap();
    let delivery = world.decode_json(&success.emit[0]).await;
    assert_eq!((&delivery["notifications"][0]["title"], &delivery["notifications"][0]["text"]), (&json!("late"), &json!("wing is late")));
    let refused = async |data: Value| ask(&world, &data).await.map_err(|failure| (failure.class, failure.code)).unwrap_err();
    assert_eq!(refused(json!({"title": "t", "template": "late"})).await, (Class::Permanent, "template_wrong"));
    assert_eq!(refused(json!({"title": "t", "template": "no"})).await, (Class::Permanent, "template_wrong"));
    for (data, code) in [
        (json!({"title": " \n"}), "no_title"),
        (json!({"title": "t", "severity": "bad"}), "invalid_severity"),
        (json!({"title": "t", "data": "[1]"}), "invalid_data"),
        (json!({"title": "t", "url": "javascript:alert(1)"}), "invalid_url"),
        (json!({"title": "t", "url": "https://x/<y>"}), "invalid_url"),
        (json!({"title": "t", "channels": ["nobody"]}), "unknown_channel"),
        (json!({"title": "t", "groupKey": "a\nb"}), "invalid_key"),
    ] {
        assert_eq!(refused(data.clone()).await, (Class::Invalid, code), "{data}");
    }
}
