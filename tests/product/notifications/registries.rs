//! Who depends on an entry of a registry hears of its change, also where nobody asked for that: here a commit makes it.

use super::{SECRET, Told, titles};
use crate::event::{attributes, commit_data};
use crate::process::eventually;
use crate::repositories::Repository;
use crate::topic::Record;

const DEPENDANTS: &str = "registries:
  - name: documents
    dependants: [{subscriber: writers, entries: '*docs/a.md', channel: GROUP-hook}]
";

/// Besides those of every notification's test: what workflows ask for has a source of theirs.
const ROUTES: &str = "  - name: workflows
    match: {type: workflow.*, topic: coafi.workflow}
    handler: workflow
    dependencies: [database, schema-registry]
  - name: of-workflows
    match: {type: notification.requested, source: /coafi/workflows/*, topic: coafi.notifications}
    handler: notification
    dependencies: [database, schema-registry]
";

#[test]
fn a_commit_tells_who_depends_on_a_document_and_their_channel() {
    let told = Told::with("notify_documents", DEPENDANTS);
    let world = &told.world;
    world.change_routes(|routes| routes + ROUTES);
    let repository = Repository::init(world.path("repository"));
    repository.write("docs/a.md", "# A document\n");
    let sha = repository.commit_file("docs/b.md", "# Another, on which nobody depends\n");
    let replica = told.replica();
    world.send(&Record {
        key: Some("key".into()),
        value: Some(world.commits.encode(&commit_data(&repository.url(), &sha))),
        ..attributes("git.commit", "/product")
    });
    let [message] = &told.hook.until(1)[..] else { panic!("one message") };
    message.check_signature(SECRET);
    let said = titles(message);
    assert!(said.len() == 1 && said[0].ends_with("docs/a.md was changed"), "{said:?}");
    let noted = |change: &str| {
        world.database.number(&format!(
            "SELECT count(*) FROM registry_entry WHERE registry = 'notifications' AND data LIKE '%{change}%' \
             AND entry LIKE 'writers#documents/%docs/a.md'"
        ))
    };
    eventually("the dependant's own entry", || noted("\"change\":\"created\"") == 1);
    replica.terminate();
    replica.ended().well();
    assert_eq!((noted(""), told.hook.all().len()), (1, 1));
}
