//! No room for generated documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::event::{attributes, commit_data};
use crate::process::eventually;
use crate::repositories::Repository;
use crate::topic::Record;
use crate::world::World;

const OPEN: &str = r#"coafi_circuit{dependency="artifacts",state="open"}"#;

#[test]
fn a_full_disk_holds_events_until_there_is_room() {
    let world = World::new("artifacts");
    let repository = Repository::init(world.path("repository"));
    let sha = repository.commit_file("docs/a.md", "# A document\n\nWith a page of its own.\n");
    let event = Record {
        key: Some("key".into()),
        value: Some(world.commits.encode(&commit_data(&repository.url(), &sha))),
        ..attributes("git.commit", "/product")
    };
    world.send(&event);

    let mut store = Store::full(world.path("artifacts"));
    let mut command = world.command(&["consume"]);
    command.env("COAFI__ARTIFACTS__URL", &store.directory);
    let mut replica = crate::process::Process::start(command);
    replica.until_ready();
    eventually("the artifact store counts as down", || replica.metric(OPEN) > 0.0);
    assert!(world.outcomes().is_empty(), "an outage is no attempt: {:?}", world.outcomes());

    store.make_room();
    world.until_ended(1);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    let end = world.end_of(&event);
    assert_eq!((&*end.outcome, end.attempt), ("processed", 1), "{end:?}");
    assert!(world.dead_letters().is_empty());
    assert_eq!(pages(&store.directory), 1);
}

/// How many pages are below it.
pub(crate) fn pages(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(
            |path| {
                if path.is_dir() { pages(&path) } else { usize::from(path.extension().is_some_and(|e| e == "html")) }
            },
        )
        .sum()
}

/// A directory without room: a full file system of its own where this user may mount one, else a file where the store
/// needs a directory.
struct Store {
    directory: PathBuf,
    filler: PathBuf,
    mounted: bool,
}

impl Store {
    fn full(directory: PathBuf) -> Self {
        std::fs::create_dir(&directory).unwrap();
        let mounted = mount(&directory);
        let filler = directory.join(if mounted { "filler" } else { "documents" });
        // On the small file system it ends when nothing more fits.
        let _ = std::fs::write(&filler, vec![0; 1 << 17]);
        Self { directory, filler, mounted }
    }

    fn make_room(&mut self) {
        std::fs::remove_file(&self.filler).unwrap();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(&self.directory).status();
        }
    }
}

fn mount(directory: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(directory);
    mount.output().is_ok_and(|output| output.status.success())
}
