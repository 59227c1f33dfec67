//! A server that a step needs is away.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::json;

use super::{Flows, PUT};
use crate::endpoints::server::Server;
use crate::process::{Process, eventually};

/// What it reserves is given back at the server that it asks.
const ORDER: &str = "name: Order
version: 1
input: {}
steps:
  - id: reserve
    registry_update: {registry: reserved, entry: =run.id, data: {n: 1}}
    compensate: {http: {endpoint: shop, type: part.released, data: {}}, retry: {attempts: 5}}
  - {id: order, http: {endpoint: shop, type: part.ordered, data: {}}}
";

#[test]
fn only_the_runs_that_need_it_wait_and_they_can_be_cancelled() {
    let mut shop = Server::start(|_, _| Some(StatusCode::NO_CONTENT.into_response()));
    let flows = Flows::with("away", &[("order", ORDER), ("put", PUT)]);
    let url = format!("http://127.0.0.1:{}", shop.port());
    let settings =
        format!("outgoing: {{allow: [127.0.0.1]}}\nendpoints: [{{name: shop, url: '{url}', unsigned: true}}]\n");
    std::fs::write(flows.world.path("coafi.yaml"), settings).unwrap();
    shop.stop();
    let mut command = flows.world.command(&["consume"]);
    command.env("COAFI__KAFKA__START", "latest").env("COAFI__ENGINE__CIRCUIT__LOOKS_EVERY", "1s");
    let mut replica = Process::start(command);
    replica.until_ready();
    let ids = ["first", "second", "third"].map(|name| flows.start("Order", name, &json!({})));
    let open = r#"coafi_circuit{dependency="http:shop",state="open"}"#;
    eventually("its circuit opens", || replica.metric(open) > 0.0);
    let put = flows.start("Put", "put", &json!({}));
    flows.until(&put, "completed");
    let why = flows.world.why().to_string();
    assert!(why.contains("http:shop"), "{why}");

    flows.workflow(&["cancel", &ids[0], "--by", "ada", "--reason", "never mind"]).well();
    let undoing = flows.until(&ids[0], "compensating");
    let message = undoing["state"]["fault"]["message"].as_str().unwrap();
    assert!(message.starts_with("cancelled by ada: never mind; it waited: "), "{undoing}");
    flows.workflow(&["cancel", &ids[0], "--by", "ada", "--reason", "by hand"]).well();
    let cancelled = flows.until(&ids[0], "cancelled");
    let message = cancelled["state"]["fault"]["message"].as_str().unwrap();
    assert!(message.contains("; not undone: reserve~undo: given_up: by ada: by hand"), "{cancelled}");

    shop.restart();
    for id in &ids[1..] {
        let completed = flows.until(id, "completed");
        let attempts: Vec<_> = completed["attempts"].as_array().unwrap().iter().map(|a| a["attempt"].clone()).collect();
        assert_eq!(attempts, [1, 1], "no attempt is used: {completed}");
    }
    replica.terminate();
    replica.ended().well();
    let asked: Vec<String> = shop.calls().iter().map(|call| call.header("ce-subject").to_owned()).collect();
    assert_eq!((asked.len(), asked.contains(&ids[0])), (2, false), "{asked:?}");
}

/// One step has a time-out of its own, the other none but its route's: for both, a server that takes requests and answers none is away.
#[test]
fn a_server_that_hangs_uses_no_attempt() {
    let steps = ["timeout: 1s", "retry: {attempts: 1}"].map(|more| {
        format!("steps: [{{id: order, http: {{endpoint: shop, type: part.ordered, data: {{}}}}, {more}}}]\n")
    });
    let [quick, patient] = ["Quick", "Patient"].map(|name| format!("name: {name}\nversion: 1\ninput: {{}}\n"));
    let mut shop = Server::start(|_, _| Some(StatusCode::NO_CONTENT.into_response()));
    let flows = Flows::with("hangs", &[("quick", &(quick + &steps[0])), ("patient", &(patient + &steps[1]))]);
    flows.world.change_routes(|routes| routes.replace("handler: workflow\n", "handler: workflow\n    deadline: 3s\n"));
    let address = format!("127.0.0.1:{}", shop.port());
    let endpoint = format!("{{name: shop, url: 'http://{address}', unsigned: true, timeout: 30s}}");
    let settings = format!("outgoing: {{allow: [127.0.0.1]}}\nendpoints: [{endpoint}]\n");
    std::fs::write(flows.world.path("coafi.yaml"), settings).unwrap();
    shop.stop();
    let hangs = coafi_testcontainers::listen(address.parse().unwrap()).unwrap();
    let mut command = flows.world.command(&["consume"]);
    command.env("COAFI__KAFKA__START", "latest").env("COAFI__ENGINE__CIRCUIT__LOOKS_EVERY", "1s");
    let mut replica = Process::start(command);
    replica.until_ready();
    let ids = ["Quick", "Patient"].map(|name| flows.start(name, name, &json!({})));
    let open = r#"coafi_circuit{dependency="http:shop",state="open"}"#;
    eventually("its circuit opens", || replica.metric(open) > 0.0);
    eventually("both wait", || {
        let why = flows.world.why().to_string();
        why.contains("http:shop") && ids.iter().all(|id| flows.shown(id).is_some())
    });
    drop(hangs);
    shop.restart();
    for id in &ids {
        let completed = flows.until(id, "completed");
        assert_eq!(completed["attempts"].as_array().unwrap().len(), 1, "{completed}");
    }
    let (outcomes, order) = (flows.world.outcomes(), ids.clone().map(|id| format!("{id}/order/1")));
    let of_orders = outcomes.iter().filter(|o| o.event_id.as_ref().is_some_and(|event| order.contains(event)));
    let ends: Vec<_> = of_orders.map(|outcome| (outcome.outcome.as_str(), outcome.attempt)).collect();
    assert_eq!(ends, [("processed", 1); 2]);
    replica.terminate();
    replica.ended().well();
}
