//! A step that asks an endpoint.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::Flows;
use crate::endpoints::server::Server;

const SCORE: &str = "name: Score
version: 1
input: {type: object, required: [part]}
steps:
  - id: score
    http: {endpoint: scorer, type: part.score, data: {part: =input.part}}
    retry: {attempts: 2, backoff: {initial: 100ms}}
  - {id: note, http: {endpoint: scorer, data: =steps.score.output}}
output: {score: =steps.score.output.score, noted: =steps.note.output == null}
";

#[test]
fn a_step_asks_an_endpoint_and_its_answer_is_the_output() {
    let server = Server::start(|call, _| {
        let data: Value = serde_json::from_slice(&call.body).unwrap();
        Some(match (call.header("ce-type"), data["part"].as_str()) {
            ("part.score", Some("none")) => (StatusCode::NOT_FOUND, "no such part").into_response(),
            ("part.score", _) if call.header("ce-id").ends_with("/1") => {
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            ("part.score", _) => json!({"score": 7}).to_string().into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        })
    });
    let flows = Flows::with("asking", &[("score", SCORE)]);
    let url = format!("http://127.0.0.1:{}", server.port());
    let settings =
        format!("outgoing: {{allow: [127.0.0.1]}}\nendpoints: [{{name: scorer, url: '{url}', unsigned: true}}]\n");
    std::fs::write(flows.world.path("coafi.yaml"), settings).unwrap();
    let replica = flows.replica();
    let good = flows.start("Score", "good", &json!({"part": "wing"}));
    let bad = flows.start("Score", "bad", &json!({"part": "none"}));
    let completed = flows.until(&good, "completed");
    assert_eq!(completed["state"]["output"], json!({"score": 7, "noted": true}), "{completed}");
    let failed = flows.until(&bad, "failed");
    assert!(failed.to_string().contains("scorer answered 404: no such part"), "{failed}");
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));

    let of_run = |run: &str| {
        let calls = server.calls().into_iter().filter(|call| call.header("ce-subject") == run);
        calls.map(|call| call.header("webhook-id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_run(&good), ["score/1", "score/2", "note/1"].map(|attempt| format!("{good}/{attempt}")));
    assert_eq!(of_run(&bad), ["score/1", "score/2"].map(|attempt| format!("{bad}/{attempt}")));
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.header("ce-id") == call.header("webhook-id")));
    let unknown = SCORE.replace("scorer", "scorre");
    std::fs::write(flows.world.path("workflows/score.yaml"), unknown).unwrap();
    let lint = flows.world.run(&["workflow", "lint"]);
    assert_ne!(lint.code(), Some(0));
    assert!(format!("{}{}", lint.stdout, lint.stderr).contains("names of endpoints: scorer"), "{lint:?}");
}
