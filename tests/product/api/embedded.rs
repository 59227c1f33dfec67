//! The API in `coafi dev`, with everything else in the same process.

use serde_json::json;

use super::{RESULTS, made, update};
use crate::http;
use crate::process::{Process, found};
use crate::repositories::Repository;
use crate::world::World;

#[test]
fn a_request_is_handled_in_one_process() {
    let world = World::new("api_dev");
    let repository = Repository::init(world.path("repository"));
    repository.commit_file("docs/a.md", "# A\n");
    let key = made(&world, "all", "api:*");
    // The world's directory declares topics of its own.
    let directory = world.path("dev");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("dev.yaml");
    std::fs::write(&file, format!("api:\n  listen: 127.0.0.1:0\n  keys:\n{}", key.entry)).unwrap();
    let mut command = world.command(&["dev", "--config"]);
    command.current_dir(&directory).arg(&file).arg("--repo").arg(&repository.path);
    // Its own, not the world's: everything is in the process.
    for name in ["TOPICS_DIR", "ROUTES_FILE", "DATABASE__URL", "KAFKA__GROUP_ID"] {
        command.env_remove(format!("COAFI__{name}"));
    }
    let mut dev = Process::start(command);
    let address = found("where the API is", || {
        assert!(dev.is_running(), "it ended: {}", dev.log());
        let said = dev.log();
        said.lines().find_map(|line| Some(line.split_once("The API is served on ")?.1.to_owned()))
    });
    let headers = [("X-API-Key", &*key.key), ("Content-Type", "application/json"), ("Prefer", "wait=30")];
    let body = update("wing-7", &json!({"status": "approved"})).to_string();
    let answer = http::ask("POST", &format!("{address}/registry/update"), &headers, &body).expect("an answer");
    assert_eq!(answer.status, 200, "{RESULTS}: {answer:?}; {}", dev.log());
    assert_eq!(answer.json()["updateResult"]["change"], "created");
    dev.terminate();
    assert_eq!(dev.ended().code(), Some(0));
}
