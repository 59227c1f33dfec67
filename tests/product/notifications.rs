//! Notifications, as those who are told get them: nothing is lost, nothing is said twice, and who asked is done.

mod own;
pub(crate) mod receiver;
mod registries;

use serde_json::Value;

use crate::journal::Outcome;
use crate::process::{Process, eventually, found};
use crate::stack::Stack;
use crate::topic::ends;
use crate::world::World;
use receiver::{Received, Receiver};

const TOPIC: &str = "coafi.notifications";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Everybody's notifications are in one topic: these routes take this world's alone. `CHANNEL` begins its channels' names.
const ROUTES: &str = "  - name: notifications
    match: {type: notification.requested, source: [/CHANNEL, /coafi/groups/CHANNEL], topic: coafi.notifications}
    handler: notification
    retry: {in_place: {attempts: 5, backoff: {initial: 50ms, cap: 100ms}}}
    dependencies: [database, schema-registry]
  - name: slow
    match: {type: notification.delivery, source: /coafi/notifications/*/CHANNEL-slow, topic: coafi.notifications}
    handler: notification_delivery
    tenant: {rate_limit: {per_second: 1, burst: 1}}
    dependencies: [database, schema-registry]
  - name: chat
    match: {type: notification.delivery, source: /coafi/notifications/slack/CHANNEL-*, topic: coafi.notifications}
    handler: notification_delivery
    retry: {in_place: {attempts: 3, backoff: {initial: 100ms, cap: 200ms}}}
    dependencies: [database, schema-registry]
  - name: others
    match: {type: notification.delivery, source: /coafi/notifications/*/CHANNEL-*, topic: coafi.notifications}
    handler: notification_delivery
    retry: {in_place: {attempts: 3, backoff: {initial: 100ms, cap: 200ms}}}
    dependencies: [database, schema-registry]
";

/// A world with a chat, a webhook, an Alertmanager and a channel with a low rate, each at a server of its own.
struct Told {
    world: World,
    chat: Receiver,
    hook: Receiver,
    alerts: Receiver,
}

impl Told {
    fn new(name: &str) -> Self {
        Self::with(name, "")
    }

    /// With more lines under `notifications`.
    fn with(name: &str, more: &str) -> Self {
        Self::on(Stack::shared(), name, more)
    }

    fn on(stack: Stack, name: &str, more: &str) -> Self {
        let world = World::on(stack, name);
        let group = world.group.clone();
        world.change_routes(|routes| routes + &ROUTES.replace("CHANNEL", &group));
        let (chat, hook, alerts) = (Receiver::start(), Receiver::start(), Receiver::start());
        let yaml = format!(
            "notifications:
  group_wait: 2s
  channels:
    - {{name: {group}-chat, kind: slack}}
    - {{name: {group}-slow, kind: webhook, url: 'http://{hook}/slow', secret_file: {secret}}}
    - {{name: {group}-hook, kind: webhook, url: 'http://{hook}/hook', secret_file: {secret}, direct: true}}
    - {{name: {group}-alerts, kind: alertmanager, url: 'http://{alerts}/am'}}
  rules:
    - {{severity: critical, sources: [/{group}], channels: [{group}-chat, {group}-hook, {group}-alerts]}}
{more}",
            hook = hook.address,
            alerts = alerts.address,
            secret = world.path("whsec").display(),
        );
        std::fs::write(world.path("whsec"), SECRET).unwrap();
        std::fs::write(world.path("notify.yaml"), yaml.replace("GROUP", &group)).unwrap();
        Self { world, chat, hook, alerts }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.world.command(arguments);
        let variable = format!("COAFI__NOTIFICATIONS__SECRETS__{}_CHAT", self.world.group.to_uppercase());
        command.arg("--config").arg(self.world.path("notify.yaml"));
        command
            .env("COAFI__KAFKA__START", "latest")
            .env(variable, format!("http://{}/T0/B0/secret", self.chat.address));
        command
    }

    fn run(&self, arguments: &[&str]) -> crate::process::Ended {
        Process::start(self.command(arguments)).ended()
    }

    /// A member that begins with what comes from now on.
    fn replica(&self) -> Process {
        self.replica_with(&[])
    }

    fn replica_with(&self, variables: &[(&str, &str)]) -> Process {
        // Made by whoever asks first, else: a reader of what is not there yet waits for it.
        assert!(!ends(&self.world.stack.kafka, TOPIC).is_empty());
        let mut command = self.command(&["consume"]);
        command.envs(variables.iter().copied());
        let mut replica = Process::start(command);
        replica.until_ready();
        replica
    }

    /// Its id.
    fn say(&self, title: &str, more: &[&str]) -> String {
        let source = format!("/{}", self.world.group);
        let arguments = [&["notify", "send", "--title", title, "--source", &source, "--output", "json"], more].concat();
        self.run(&arguments).json()["id"].as_str().unwrap().to_owned()
    }

    fn channel(&self, name: &str) -> String {
        format!("{}-{name}", self.world.group)
    }

    /// Outcomes of what is about notifications.
    fn outcomes(&self) -> Vec<Outcome> {
        let ours = |outcome: &Outcome| outcome.topic.starts_with(TOPIC) && outcome.outcome != "unprocessed";
        self.world.outcomes().into_iter().filter(ours).collect()
    }

    fn outcome_of(&self, id: &str) -> Outcome {
        found("an outcome", || self.outcomes().into_iter().find(|outcome| outcome.event_id.as_deref() == Some(id)))
    }

    /// Those of messages.
    fn of_deliveries(&self) -> Vec<Outcome> {
        let is_delivery = |outcome: &Outcome| outcome.event_id.as_deref().is_some_and(|id| id.starts_with("nd-"));
        self.outcomes().into_iter().filter(is_delivery).collect()
    }
}

fn titles(received: &Received) -> Vec<String> {
    let notifications = received.json()["data"]["notifications"].clone();
    notifications.as_array().unwrap().iter().map(|n| n["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_kind_of_channel_is_told_once_whoever_repeats_it() {
    let told = Told::new("notify_kinds");
    let replica = told.replica();
    let first =
        told.say("The press <stands> still", &["--severity", "critical", "--text", "Since 7:40.", "--dedup", "press"]);
    let [chat] = &told.chat.until(1)[..] else { panic!("one message") };
    assert_eq!((chat.path.as_str(), chat.json()["blocks"][0]["type"].as_str()), ("/T0/B0/secret", Some("section")));
    let text = chat.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("*The press &lt;stands&gt; still* (critical)\nSince 7:40."), "{text}");
    let [hook] = &told.hook.until(1)[..] else { panic!("one message") };
    hook.check_signature(SECRET);
    assert_eq!(titles(hook), ["The press <stands> still"]);
    let [alert] = &told.alerts.until(1)[..] else { panic!("one message") };
    assert_eq!(alert.path, "/am/api/v2/alerts");
    let alert = alert.json();
    assert_eq!(alert[0]["labels"]["alertname"], "press");
    assert!(alert[0]["endsAt"].as_str() > alert[0]["startsAt"].as_str(), "{alert}");
    assert_eq!(told.outcome_of(&first).outcome, "processed");

    let again = told.say("It still does", &["--severity", "critical", "--dedup", "press"]);
    assert_eq!(told.outcome_of(&again).outcome, "processed");
    let over = told.say("It runs", &["--severity", "critical", "--dedup", "press", "--resolved"]);
    assert_eq!(told.outcome_of(&over).outcome, "processed");
    assert_eq!(told.hook.until(2).iter().map(titles).collect::<Vec<_>>(), [["The press <stands> still"], ["It runs"]]);
    let nobody = told.say("Nothing to see", &[]);
    assert_eq!(told.outcome_of(&nobody).outcome, "processed", "no rule matches, which is no error");
    replica.terminate();
    replica.ended().well();
    assert_eq!((told.chat.all().len(), told.hook.all().len(), told.alerts.all().len()), (2, 2, 2));
}

#[test]
fn those_of_one_group_are_one_message_though_the_replica_dies() {
    let told = Told::new("notify_group");
    let mut replica = told.replica();
    let hook = told.channel("hook");
    let ids = ["one", "two"].map(|title| told.say(title, &["--group", "g", "--channel", &hook]));
    ids.iter().for_each(|id| assert_eq!(told.outcome_of(id).outcome, "processed"));
    replica.kill();
    replica = told.replica();
    let received = told.hook.until(1);
    let mut said = titles(&received[0]);
    said.sort();
    assert_eq!((received.len(), said), (1, vec!["one".to_owned(), "two".to_owned()]));
    eventually("the message is done", || told.of_deliveries().iter().any(|outcome| outcome.outcome == "processed"));
    assert_eq!(told.world.database.number("SELECT count(*) FROM notification_group"), 0);
    replica.terminate();
    replica.ended().well();
    assert_eq!(told.hook.all().len(), 1);
}

#[test]
fn a_channel_that_is_away_is_told_when_it_is_back_and_no_attempt_is_used() {
    let mut told = Told::new("notify_away");
    let (chat, hook, alerts) = (told.channel("chat"), told.channel("hook"), told.channel("alerts"));
    told.chat.stop();
    told.alerts.stop();
    let replica = told.replica();
    let ids: Vec<String> = (0..3).map(|n| told.say(&format!("n{n}"), &["--channel", &chat])).collect();
    told.say("an alert", &["--channel", &alerts]);
    for away in [&chat, &alerts] {
        let open = format!(r#"coafi_circuit{{dependency="notify:{away}",state="open"}}"#);
        eventually("the channel's outage is seen", || replica.metric(&open) > 0.0);
    }
    // One of the same route as an alert's, which is at another server, goes on.
    told.say("meanwhile", &["--channel", &hook]);
    assert_eq!(titles(&told.hook.until(1)[0]), ["meanwhile"]);
    ids.iter().for_each(|id| assert_eq!(told.outcome_of(id).outcome, "processed", "who asked is done"));
    assert!(told.chat.all().is_empty());
    told.chat.resume();
    told.chat.until(3);
    told.alerts.resume();
    told.alerts.until(1);
    eventually("every message is done", || told.of_deliveries().len() == 5);
    for outcome in told.of_deliveries() {
        assert_eq!((outcome.outcome.as_str(), outcome.attempt), ("processed", 1), "{outcome:?}");
    }
    replica.terminate();
    replica.ended().well();
}

#[test]
fn an_isolated_replay_tells_nobody() {
    let told = Told::new("notify_replay");
    let replica = told.replica();
    told.say("once", &["--channel", &told.channel("hook")]);
    told.hook.until(1);
    eventually("it is done", || told.of_deliveries().len() == 1);
    replica.terminate();
    replica.ended().well();
    let source = format!("/coafi/notifications/*/{}", told.channel("hook"));
    let replayed = |more: &[&str]| {
        let arguments = ["replay", "--topic", TOPIC, "--source", &source, "--output", "json"];
        told.run(&[&arguments, more].concat()).stdout
    };
    let said: Value = serde_json::from_str(&replayed(&["--name", "quiet"])).unwrap();
    assert_eq!((&said["handled"], &said["outcomes"]["processed"]), (&1.into(), &1.into()), "{said}");
    assert_eq!(told.hook.all().len(), 1, "nobody is told again");
    replayed(&["--effects", "--name", "loud"]);
    assert_eq!(told.hook.all().len(), 2, "with effects they are");
}

#[test]
fn a_message_that_fails_is_retried_as_its_own_event() {
    let told = Told::new("notify_retry");
    let replica = told.replica();
    told.hook.answer_next(&[500, 500]);
    let id = told.say("late", &["--channel", &told.channel("hook")]);
    let outcome = told.outcome_of(&id);
    assert_eq!((outcome.outcome.as_str(), outcome.attempt), ("processed", 1));
    eventually("it is sent", || told.of_deliveries().iter().any(|outcome| outcome.outcome == "processed"));
    let attempts: Vec<(String, i32)> = told.of_deliveries().into_iter().map(|o| (o.outcome, o.attempt)).collect();
    let expected = [("retried_in_place", 1), ("retried_in_place", 2), ("processed", 3)];
    assert_eq!(attempts, expected.map(|(outcome, attempt)| (outcome.to_owned(), attempt)));
    let received = told.hook.all();
    assert_eq!(received.len(), 3);
    let ids: Vec<&str> = received.iter().map(|received| received.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "a receiver knows it again: {ids:?}");

    told.hook.answer_next(&[404]);
    told.say("refused", &["--channel", &told.channel("hook")]);
    eventually("it is a dead letter", || told.of_deliveries().iter().any(|outcome| outcome.outcome == "dead_lettered"));
    replica.terminate();
    replica.ended().well();
}

#[test]
fn what_is_beyond_a_channels_rate_waits_and_nothing_is_dropped() {
    const MESSAGES: usize = 4;
    let told = Told::new("notify_rate");
    let replica = told.replica();
    let slow = told.channel("slow");
    for n in 0..MESSAGES {
        told.say(&format!("n{n}"), &["--channel", &slow]);
    }
    let received = told.hook.until(MESSAGES);
    let span = received[MESSAGES - 1].at.duration_since(received[0].at);
    // One a second, however slow this machine is: it can only be slower. The first may have been late.
    assert!(span.as_secs_f64() > 1.5, "{span:?}");
    replica.terminate();
    replica.ended().well();
    assert_eq!(told.hook.all().len(), MESSAGES);
}

#[test]
fn a_channel_is_tried_and_listed_without_its_secret() {
    let mut told = Told::new("notify_cli");
    let chat = told.channel("chat");
    let said = told.run(&["notify", "test", &chat, "--output", "json"]).json();
    assert_eq!(said["answer"], "200 OK: ok");
    assert!(told.chat.all()[0].json()["text"].as_str().unwrap().contains("This is a test"));
    told.chat.answer_next(&[403]);
    assert_eq!(told.run(&["notify", "test", &chat]).code(), Some(1));
    told.chat.stop();
    assert_eq!(told.run(&["notify", "test", &chat]).code(), Some(3));
    assert_eq!(told.run(&["notify", "test", "nobody"]).code(), Some(2));
    let listed = told.run(&["notify", "channels", "--output", "json"]).json();
    let found: Vec<&Value> = listed["channels"].as_array().unwrap().iter().filter(|c| c["name"] == *chat).collect();
    assert_eq!((found[0]["kind"].as_str(), found[0]["toldFrom"].as_str()), (Some("slack"), Some("critical")));
    let all = [&["notify", "channels"][..], &["config", "show"]].map(|arguments| told.run(arguments).well()).concat();
    assert!(!all.contains("T0/B0") && !all.contains("whsec_M"), "{all}");
    assert_eq!(listed["channels"].as_array().unwrap().len(), 4);
}
