//! The API keeps what its OpenAPI document says, whatever is sent: Schemathesis makes requests of the document, valid and
//! invalid ones, and looks at the answers.

use std::process::Command;

use crate::process::Process;
use crate::tools::schemathesis;
use crate::world::World;

/// The same requests in every run.
const SEED: &str = "7";
/// Of one operation, in each phase.
const EXAMPLES_MAX: &str = "25";
/// Of the whole run.
const SECONDS_MAX: &str = "60";
/// That the API answers as it says it does. What it should refuse is for tests that know it.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// By the names that the document gives as examples: without them every delivery would be to nobody.
const SENDERS: &str = "federated:
  domains: [{name: aero, keys: [{kid: aero-1, public_key: PUBLIC}]}]
";

/// Requests wait for nobody here, and nobody is asked too often.
const LIMITS: &str = "  rate_limit: {per_second: 100000, burst: 100000}\n  limits: {waiting: 1, wait_max: 1s}\n";

#[test]
fn the_api_answers_as_its_document_says() {
    let world = World::new("openapi");
    ["coafi.api", "coafi.results", "coafi.ai"].iter().for_each(|topic| world.also_declare(topic));
    let said = world.run(&["api", "key", "all", "--permission", "api:*"]).well();
    let key = said.lines().find_map(|line| line.strip_prefix("key: ")).expect("a key");
    let (_, entry) = said.split_once("coafi.yaml:\n").expect("an entry to write down");
    let entry: String = entry.lines().map(|line| format!("  {line}\n")).collect();
    let pem = world.path("aero.pem");
    let made = world.run(&["federated", "keygen", "aero-1", "--out", pem.to_str().unwrap(), "--output", "json"]).json();
    let senders = SENDERS.replace("PUBLIC", made["publicKey"].as_str().unwrap());
    let secret = world.path("secret");
    std::fs::write(&secret, "of the webhook, long enough").unwrap();
    let webhooks = format!("  webhooks: [{{name: github, kind: github, secret_file: {}}}]\n", secret.display());
    let api = format!("api:\n  listen: 127.0.0.1:0\n{LIMITS}{webhooks}  keys:\n{entry}{senders}");
    std::fs::write(world.path("api.yaml"), api).unwrap();
    let mut command = world.command(&["api", "--config"]);
    command.arg(world.path("api.yaml"));
    let api = Process::start(command);
    let document = format!("http://{}/openapi.json", api.served("serving the API"));
    let mut run: Command = schemathesis();
    run.args(["run", &document, "--header", &format!("X-API-Key: {key}"), "--checks", CHECKS])
        .args(["--seed", SEED, "--max-examples", EXAMPLES_MAX, "--max-time", SECONDS_MAX, "--continue-on-failure"])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--generation-database",
            "none",
            "--warnings",
            "off",
            "--no-color",
        ])
        .args(["--suppress-health-check", "all", "--request-timeout", "30"])
        .current_dir(world.path("topics"));
    let ended = Process::start(run).ended();
    assert_eq!(ended.code(), Some(0), "{}{}\n{}", ended.stdout, ended.stderr, api.log());
    // As many as the document has: one that is left out would be judged by nobody.
    let document = world.run(&["api", "openapi", "--config", world.path("api.yaml").to_str().unwrap()]).json();
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert!(ended.stdout.contains(&format!("{operations} selected / {operations} total")), "{}", ended.stdout);
}
