//! Reports over a real store, a real artifact store and the built-in registry.

use serde_json::{Value, json};

use super::*;
use crate::engine::Class;
use crate::handlers::git_commit::tests::world::World;
use crate::registry::{Rule, Rules};
use crate::schema::Shape;
use crate::store::{InboxKey, UnitOfWork};

/// Fired a little after now, by the database's clock: what is written before counts.
fn fired(data: &Value) -> Value {
    let due = Timestamp::now().as_millisecond() + 5_000;
    json!({"schedule": "daily", "dueAt": due, "firedAt": due, "reason": "fired", "data": data.to_string()})
}

async fn write(world: &World, id: &str, entries: &[(&str, Value)]) {
    let change =
        |(entry, data): &(&str, Value)| EntryChange::new("parts", (*entry).to_owned(), Some(data.clone()), None);
    let (group, source, id) = (world.fence.group.clone(), "/s".to_owned(), id.to_owned());
    let inbox = InboxKey { group, handler: "writer".to_owned(), source, id, run: String::new() };
    let (fence, changes) = (world.fence.clone(), entries.iter().map(change).collect());
    let work = UnitOfWork { inbox, fence, changes, run: None, notices: Vec::new(), result: b"{}"[..].into() };
    world.store.commit(work).await.unwrap();
}

fn artifact(world: &World, success: &Success, format: &str) -> String {
    world.artifact(success.data["artifacts"][format]["artifactPath"].as_str().unwrap())
}

#[tokio::test]
async fn a_report_says_what_was_done_and_stays_as_it_was() {
    let mut world = World::new().await;
    write(&world, "1", &[("wing", json!({}))]).await;
    let event = fired(&json!({}));
    let first = world.handle_by(&ReportHandler, "GenerateReport", &event).await.unwrap();
    let csv = artifact(&world, &first, "csv");
    assert!(csv.contains("\r\nhandled events,writer,events,1\r\n"), "{csv}");
    assert!(csv.contains("\r\nregistries,parts,entries,1\r\n"), "{csv}");
    let html = artifact(&world, &first, "html");
    assert!(html.contains("<td>writer</td><td>events</td><td>1</td>"), "{html}");
    let entries = world.store.entries(REGISTRY, None, 10).await.unwrap();
    assert_eq!((entries.len(), &entries[0].data), (1, &first.data));
    assert!(entries[0].entry.starts_with("daily#"), "{}", entries[0].entry);

    write(&world, "2", &[("tail", json!({}))]).await;
    assert_eq!(world.handle_by(&ReportHandler, "GenerateReport", &event).await.unwrap(), first);
    // A replay is asked for so that the handler runs again; the report is of its time.
    world.run = "replayed".to_owned();
    assert_eq!(world.handle_by(&ReportHandler, "GenerateReport", &event).await.unwrap(), first);
    assert_eq!(artifact(&world, &first, "csv"), csv);
}

#[tokio::test]
async fn a_period_is_an_hour_for_the_hourly_report_and_a_day_else() {
    let world = World::new().await;
    for (event_type, data, hours) in [
        ("HourlyReportTask", json!({"format": "csv"}), 1),
        ("GenerateReport", json!({"format": ["csv", "csv"]}), 24),
        ("HourlyReportTask", json!({"format": "csv", "period": "7d"}), 168),
    ] {
        let made = world.handle_by(&ReportHandler, event_type, &fired(&data)).await.unwrap();
        let time = |name: &str| made.data[name].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
        assert_eq!(time("until") - time("since"), hours * 3_600, "{event_type} {data}");
        let formats: Vec<&String> = made.data["artifacts"].as_object().unwrap().keys().collect();
        assert_eq!(formats, ["csv", "json"]);
    }
}

#[tokio::test]
async fn a_compliance_report_says_what_is_not_as_its_rules_say() {
    let mut world = World::new().await;
    world.write("docs/good.md", "# Good\n\nText.\n");
    world.write("specs/bad.yaml", "name: no title\n");
    let sha = world.commit("m");
    world.handle(&sha).await.unwrap();
    let shape = Shape::compile(&json!({"required": ["weight"]})).unwrap();
    let rule = Rule { shape: Some(shape), ..Rule::default() };
    world.services.registries = Arc::new(Rules::new([("parts".to_owned(), rule)].into()));
    write(&world, "1", &[("=wing", json!({"weight": 1})), ("tail", json!({}))]).await;
    let made =
        world.handle_by(&ReportHandler, "GenerateReport", &fired(&json!({"report": "compliance"}))).await.unwrap();
    let csv = artifact(&world, &made, "csv");
    for expected in [
        "checked entries,documents,valid,1",
        "checked entries,documents,invalid,1",
        "checked entries,parts,valid,1",
        "checked entries,parts,invalid,1",
    ] {
        assert!(csv.contains(&format!("\r\n{expected}\r\n")), "{expected}: {csv}");
    }
    assert!(csv.contains("invalid entries,parts/tail,errors,") && csv.contains("specs/bad.yaml,errors,"), "{csv}");
}

#[tokio::test]
async fn settings_that_are_not_allowed_say_what_is() {
    let world = World::new().await;
    for data in [
        json!({"report": "secret"}),
        json!({"format": "pdf"}),
        json!({"format": []}),
        json!({"period": "32d"}),
        json!({"period": "0s"}),
        json!({"Format": "html"}),
        json!(7),
    ] {
        let failure = world.handle_by(&ReportHandler, "GenerateReport", &fired(&data)).await.unwrap_err();
        assert_eq!((failure.class.clone(), failure.code), (Class::Permanent, "invalid_job"), "{data}");
        assert!(failure.message.contains("daily") && failure.message.contains(ALLOWED), "{}", failure.message);
    }
}
