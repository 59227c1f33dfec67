//! What the database and the source offsets keep as JSON and no released version wrote yet: read, and written again as it was,
//! member for member. A member that is renamed would be lost of what is there.

use coafi::dispatch::Success;
use coafi::schedule::Standing;
use coafi::workflow::{Run, RunStatus, StepStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{repository, text};

fn comes_back<T: Serialize + DeserializeOwned>(name: &str) -> T {
    let kept: Value =
        serde_json::from_str(&text(&repository().join(format!("tests/golden/formats/unreleased/kept/{name}.json"))))
            .unwrap();
    let read: T = serde_json::from_value(kept.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), kept, "{name}");
    read
}

#[test]
fn runs_of_workflows_are_kept_as_before() {
    let everything: Run = comes_back("workflow_run");
    assert_eq!((everything.status, everything.ends_as), (RunStatus::Compensating, Some(RunStatus::Failed)));
    let steps: Vec<StepStatus> = everything.steps.values().map(|step| step.status).collect();
    for status in [StepStatus::Running, StepStatus::Succeeded, StepStatus::Failed, StepStatus::Cancelled] {
        assert!(steps.contains(&status), "no step is {}", status.name());
    }
    assert_eq!(everything.caller.unwrap().step.as_str(), "each[2]/ask");

    // What the first runs had: members that came later have defaults.
    let least = r#"{"id":"wf-1","workflow":"W","version":1,"input":{},"status":"running","steps":{"a":{"status":"running","attempt":1}}}"#;
    let least: Run = serde_json::from_str(least).unwrap();
    assert_eq!((least.ends, least.completions, least.hops, least.caller), (0, 0, 0, None));
    for status in RunStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}

#[test]
fn results_with_replies_are_kept_as_before() {
    let success: Success = comes_back("inbox_result");
    assert_eq!(success.reply.map(|reply| reply.status), Some(412));
    let event = &success.emit[0];
    assert_eq!((event.workflow_hops, event.tenant.as_deref()), (Some(3), Some("acme")));
}

#[test]
fn standings_of_schedules_are_kept_as_before() {
    let standing: Standing = comes_back("schedule_standing");
    assert_eq!(Standing::read(&standing.written()).unwrap(), standing);
    assert_eq!(standing.paused.unwrap().by, "ada");
}
