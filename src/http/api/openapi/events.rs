//! The pages of events: examples, and how they refuse.

use serde_json::{Value, json};

use super::{ALWAYS, problems};

pub(super) fn pages(paths: &mut Value) {
    let list = &mut paths["/events"]["get"];
    let event = json!({
        "recordId": "4L6g3nShT-eMCtK--X86sw/8fQ2/3/42//1", "id": "run-7-started", "type": "ai.run.started",
        "source": "/lab/runner", "correlationId": "run-7-started", "utids": [], "place": "coafi.ai[3]@42",
        "group": "coafi", "outcome": "processed", "attempt": 1, "handlers": ["log"], "endedAt": "2026-01-01T00:00:00Z",
    });
    list["responses"]["200"]["content"]["application/json"]["example"] = json!({"events": [event]});
    problems::refer(list, &[&ALWAYS[..], &[400, 403, 410]].concat());

    let story = &mut paths["/events/{id}"]["get"];
    story["parameters"][0]["example"] = "run-7-started".into();
    story["parameters"][1]["example"] = "/lab/runner".into();
    let step = json!({
        "at": "2026-01-01T00:00:00Z", "attempt": 1, "place": "coafi.ai[3]@42", "route": "ai", "type": "HANDLER_INVOKED",
        "detail": {"handler": "log"},
    });
    story["responses"]["200"]["content"]["application/json"]["example"] = json!({"events": [{
        "eventId": "run-7-started", "eventType": "ai.run.started", "source": "/lab/runner",
        "correlationId": "run-7-started", "causationId": null, "utids": [], "outcome": "processed", "steps": [step],
        "replays": [],
    }]});
    problems::refer(story, &[&ALWAYS[..], &[400, 403, 404]].concat());
}
