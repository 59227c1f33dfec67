//! Jobs: a schedule that fires leaves its report, its check, its archive, once however often the event is handled.

use serde_json::Value;

use crate::journal::Outcome;
use crate::process::{Process, found};
use crate::topic::{Positions, ends, read, reset};
use crate::world::World;

const TOPIC: &str = "coafi.schedule";
const NOTIFICATIONS: &str = "coafi.notifications";

/// Everybody's schedules are in one topic: these routes take this world's alone.
const ROUTES: &str = "  - name: reports
    match: {type: [GenerateReport, HourlyReportTask], source: /coafi/schedules/GROUP.*, topic: coafi.schedule}
    handler: report
    dependencies: [database, artifacts, schema-registry]
  - name: archive
    match: {type: ArchiveTask, source: /coafi/schedules/GROUP.*, topic: coafi.schedule}
    handler: archive
    dependencies: [database, artifacts, schema-registry]
  - name: daily-counts
    match: {type: AggregateTask, source: /coafi/schedules/GROUP.*, topic: coafi.schedule}
    handler: aggregate
    dependencies: [database]
  - name: health
    match: {type: HealthCheck, source: /coafi/schedules/GROUP.*, topic: coafi.schedule}
    handler: health_check
    dependencies: [database]
  - name: of-others
    match: {type: '*', topic: coafi.schedule}
    handler: noop
";

const SCHEDULES: &str = "schedules:
  - {name: GROUP.daily, cron: '@daily', type: GenerateReport}
  - {name: GROUP.hourly, cron: 0 * * * *, type: HourlyReportTask, data: {report: compliance, format: csv}}
  - {name: GROUP.health, every: 5m, type: HealthCheck}
  - {name: GROUP.counts, cron: '@daily', type: AggregateTask}
  - {name: GROUP.old, cron: '@daily', type: ArchiveTask, data: {registry: reports, older_than: 0s, keep: 1}}
  - {name: GROUP.wrong, cron: '@daily', type: GenerateReport, data: {report: everything}}
";

struct Jobs {
    world: World,
    start: Positions,
}

impl Jobs {
    fn new(name: &str) -> Self {
        let world = World::new(name);
        world.also_declare(TOPIC);
        world.also_declare("coafi.schedule.ledger");
        world.change_routes(|routes| routes + &ROUTES.replace("GROUP", &world.group));
        std::fs::write(world.path("coafi.yaml"), SCHEDULES.replace("GROUP", &world.group)).unwrap();
        let start = ends(&world.stack.kafka, TOPIC);
        reset(&world.stack.kafka, &world.group, TOPIC, &start);
        Self { world, start }
    }

    /// The id of the event.
    fn trigger(&self, schedule: &str) -> String {
        let name = format!("{}.{schedule}", self.world.group);
        let said = self.world.run(&["schedule", "trigger", &name, "--output", "json"]).json();
        said["eventId"].as_str().unwrap().to_owned()
    }

    fn ends_of(&self, id: &str) -> Vec<Outcome> {
        let about = |outcome: &Outcome| outcome.event_id.as_deref() == Some(id) && outcome.is_final();
        self.world.outcomes().into_iter().filter(about).collect()
    }

    /// Waits until the job was done that many times.
    fn until_done(&self, id: &str, times: usize) -> Vec<Outcome> {
        found("the job's end", || Some(self.ends_of(id)).filter(|ends| ends.len() >= times))
    }

    fn done(&self, schedule: &str) -> String {
        let id = self.trigger(schedule);
        let ends = self.until_done(&id, 1);
        assert_eq!(ends[0].outcome, "processed", "{ends:?}");
        id
    }

    fn entry(&self, registry: &str, entry: &str) -> Value {
        self.world.run(&["registry", "show", registry, entry, "--output", "json"]).json()["data"].clone()
    }

    fn report(&self, schedule: &str, id: &str) -> Value {
        self.entry("reports", &format!("{}.{schedule}#{id}", self.world.group))
    }

    fn file(&self, path: &Value) -> String {
        let path =
            self.world.path(".coafi/artifacts").join(path.as_str().unwrap_or_else(|| panic!("{path} is no path")));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn artifact(&self, report: &Value, format: &str) -> String {
        self.file(&report["artifacts"][format]["artifactPath"])
    }

    fn replica(&self) -> Process {
        let mut replica = self.world.replica();
        replica.until_ready();
        replica
    }
}

fn ended(replica: Process) {
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

#[test]
fn a_report_is_made_once_however_often_it_is_handled() {
    let jobs = Jobs::new("jobs_report");
    for key in ["a", "b"] {
        jobs.world.send(&jobs.world.push(key));
    }
    let replica = jobs.replica();
    jobs.world.until_ended(2);
    let id = jobs.done("daily");
    let report = jobs.report("daily", &id);
    let (html, csv) = (jobs.artifact(&report, "html"), jobs.artifact(&report, "csv"));
    for expected in ["<h1>COAFI status report</h1>", "<td>git_ref</td><td>events</td><td>2</td>"] {
        assert!(html.contains(expected), "{expected}: {html}");
    }
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "section,subject,measure,value");
    let registries = lines.iter().filter(|line| line.starts_with("registries,refs,entries,")).count();
    assert!(lines.contains(&"handled events,git_ref,events,2") && registries == 1, "{csv}");

    let hourly = jobs.report("hourly", &jobs.done("hourly"));
    assert!(jobs.artifact(&hourly, "csv").contains("\r\nchecked entries,documents,invalid,0\r\n"), "{hourly}");
    assert_eq!(hourly["artifacts"].get("html"), None, "{hourly}");
    jobs.done("counts");

    let wrong = jobs.trigger("wrong");
    assert_eq!(jobs.until_done(&wrong, 1)[0].error_class.as_deref(), Some("permanent"));
    let letters = read(&jobs.world.stack.kafka, &format!("{TOPIC}.dlq"), &Positions::new());
    let letter = letters.iter().find(|letter| letter.record.header("ce_id") == Some(&wrong)).unwrap();
    let said = letter.record.headers.iter().filter_map(|(_, value)| std::str::from_utf8(value.as_deref()?).ok());
    assert!(
        said.into_iter().any(|text| text.contains("allowed: report: status (default) or compliance")),
        "{letter:?}"
    );
    ended(replica);

    // Everything is delivered once more.
    reset(&jobs.world.stack.kafka, &jobs.world.group, TOPIC, &jobs.start);
    let replica = jobs.replica();
    jobs.until_done(&id, 2);
    ended(replica);
    assert_eq!(jobs.report("daily", &id), report);
    assert_eq!((jobs.artifact(&report, "html"), jobs.artifact(&report, "csv")), (html, csv));
    let made = "SELECT count(*) FROM registry_history WHERE registry = 'reports'";
    assert_eq!(jobs.world.database.number(made), 2);
}

#[test]
fn who_becomes_unhealthy_is_told_of_once_and_what_is_old_is_archived() {
    let jobs = Jobs::new("jobs_health");
    let start = ends(&jobs.world.stack.kafka, NOTIFICATIONS);
    let replica = jobs.replica();
    jobs.done("health");
    let health = jobs.entry("health", "coafi");
    assert_eq!((&health["healthy"], health["parts"].as_object().unwrap().len()), (&true.into(), 3), "{health}");

    // A directory where the check's file goes.
    let probe = jobs.world.path(".coafi/artifacts/.coafi-probe");
    std::fs::remove_file(&probe).unwrap();
    std::fs::create_dir(&probe).unwrap();
    for _ in 0..2 {
        jobs.done("health");
    }
    let health = jobs.entry("health", "coafi");
    assert_eq!(
        (&health["healthy"], &health["parts"]["artifacts"]["healthy"]),
        (&false.into(), &false.into()),
        "{health}"
    );
    std::fs::remove_dir(&probe).unwrap();
    jobs.done("health");
    let key = format!("health/{}/artifacts", jobs.world.group).into_bytes();
    let told = read(&jobs.world.stack.kafka, NOTIFICATIONS, &start);
    let told = told.iter().filter(|read| read.record.key.as_ref() == Some(&key)).count();
    assert_eq!(told, 2, "that it is unhealthy, and that it is healthy again");

    let (first, second) = (jobs.done("daily"), jobs.done("hourly"));
    let report = jobs.report("daily", &first);
    let archived = found("the report is old", || {
        jobs.done("old");
        let folder = jobs.world.path(".coafi/artifacts/registry-archive/reports");
        let file = std::fs::read_dir(folder).ok()?.next()?.unwrap();
        Some(std::fs::read_to_string(file.path()).unwrap())
    });
    let line: Value = serde_json::from_str(archived.lines().next().unwrap()).unwrap();
    assert_eq!((archived.lines().count(), &line["data"]), (1, &report), "{archived}");
    let names = format!(
        "SELECT count(*) FROM registry_entry WHERE registry = 'reports' AND data IS NOT NULL AND entry LIKE '%{second}'"
    );
    assert_eq!(jobs.world.database.number(&names), 1, "the newest is kept");
    let left = "SELECT count(*) FROM registry_entry WHERE registry = 'reports' AND data IS NOT NULL";
    assert_eq!(jobs.world.database.number(left), 1);
    ended(replica);
}
