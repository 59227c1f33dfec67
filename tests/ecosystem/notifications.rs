//! Notifications at servers that we did not write: an SMTP server (aiosmtpd), and Prometheus' Alertmanager.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::journal::Outcome;
use crate::process::{Process, eventually, found};
use crate::tools::{objects, printed, smtp_server};
use crate::world::World;

const PASSWORD: &str = "correct horse";
/// This world's alone; what others say is in the same topic.
const ROUTES: &str = "  - name: notifications
    match: {type: notification.requested, source: /GROUP, topic: coafi.notifications}
    handler: notification
    dependencies: [database, schema-registry]
  - name: deliveries
    match: {type: notification.delivery, source: /coafi/notifications/*/GROUP, topic: coafi.notifications}
    handler: notification_delivery
    retry: {in_place: {attempts: 3, backoff: {initial: 100ms, cap: 200ms}}}
    dependencies: [database, schema-registry]
";

/// One channel, which has the group's name.
struct Told {
    world: World,
}

impl Told {
    fn new(name: &str, channel: &str) -> Self {
        let world = World::new(name);
        let group = world.group.clone();
        world.change_routes(|routes| routes + &ROUTES.replace("GROUP", &group));
        let yaml = format!("notifications: {{channels: [{{name: {group}, {channel}}}]}}\n");
        std::fs::write(world.path("notify.yaml"), yaml).unwrap();
        Self { world }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        command.arg("--config").arg(self.world.path("notify.yaml")).env("COAFI__KAFKA__START", "latest");
        command
    }

    fn replica(&self) -> Process {
        let mut replica = Process::start(self.command(&["consume"]));
        replica.until_ready();
        replica
    }

    fn say(&self, title: &str, more: &[&str]) {
        let (source, channel) = (format!("/{}", self.world.group), &self.world.group);
        let arguments = ["notify", "send", "--title", title, "--source", &source, "--channel", channel];
        Process::start(self.command(&[&arguments, more].concat())).ended().well();
    }

    /// How many attempts each message that was sent has taken, the fewest first.
    fn attempts(&self) -> Vec<i32> {
        let is_sent = |outcome: &Outcome| {
            outcome.outcome == "processed" && outcome.event_id.as_deref().is_some_and(|id| id.starts_with("nd-"))
        };
        let sent = self.world.outcomes().into_iter().filter(is_sent);
        let mut attempts: Vec<i32> = sent.map(|outcome| outcome.attempt).collect();
        attempts.sort_unstable();
        attempts
    }
}

struct Smtp {
    process: Process,
    directory: TempDir,
}

impl Smtp {
    fn start(port: u16, refusals: u32) -> Self {
        Self::run(port, refusals, &[])
    }

    /// One that takes mail of ada, who has the password, and proves by this certificate that it is 127.0.0.1.
    fn secured(tls: &str, certificate: &Path) -> Self {
        Self::run(0, 0, &[tls, certificate.to_str().unwrap()])
    }

    fn run(port: u16, refusals: u32, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("said").display().to_string();
        let (port, refusals) = (port.to_string(), refusals.to_string());
        let mut command = smtp_server(&[&[&*port, &*refusals, &*file], more].concat());
        command.env("PASSWORD", PASSWORD);
        Self { process: Process::start(command), directory }
    }

    fn said(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("said")).unwrap_or_default();
        // The last line may not be complete.
        objects(text.rsplit_once('\n').map_or("", |(lines, _)| lines))
    }

    fn port(&self) -> u16 {
        found("the server's port", || {
            self.said().first().map(|said| said["port"].as_u64().unwrap().try_into().unwrap())
        })
    }

    fn until(&self, count: usize) -> Vec<Value> {
        found("e-mails", || {
            Some(self.said().into_iter().skip(1).collect::<Vec<_>>()).filter(|mails| mails.len() >= count)
        })
    }
}

#[test]
fn an_e_mail_arrives_after_the_server_was_busy_and_after_it_was_away() {
    let mut smtp = Smtp::start(0, 1);
    let port = smtp.port();
    let channel = format!(
        "kind: email, host: 127.0.0.1, port: {port}, tls: none, from: 'COAFI <coafi@example.org>', to: [ops@example.org, ada@example.org]"
    );
    let told = Told::new("mail", &channel);
    let replica = told.replica();
    told.say("Flügel <7> & Tür", &["--severity", "critical", "--text", "Zwei Tage zu spät."]);
    let mails = smtp.until(2);
    assert_eq!((mails[0]["refused"].as_bool(), mails[1]["refused"].as_bool()), (Some(true), Some(false)));
    assert_eq!(mails[0]["id"], mails[1]["id"], "a second copy is known by its id");
    let mail = &mails[1];
    assert_eq!(mail["subject"], "[critical] Flügel <7> & Tür");
    assert_eq!(
        (&mail["from"], &mail["to"]),
        (&"coafi@example.org".into(), &serde_json::json!(["ops@example.org", "ada@example.org"]))
    );
    let part = |kind: &str| mail["parts"][kind].as_str().unwrap_or_else(|| panic!("{mail}"));
    assert!(
        part("text/plain").contains("Flügel <7> & Tür (critical)") && part("text/plain").contains("Zwei Tage zu spät."),
        "{mail}"
    );
    assert!(part("text/html").contains("Flügel &lt;7&gt; &amp; Tür"), "{mail}");
    eventually("it is done", || told.attempts() == [2]);

    smtp.process.kill();
    told.say("meanwhile", &[]);
    let open = format!(r#"coafi_circuit{{dependency="notify:{}",state="open"}}"#, told.world.group);
    eventually("the outage is seen", || replica.metric(&open) > 0.0);
    smtp = Smtp::start(port, 0);
    assert_eq!(smtp.until(1)[0]["subject"], "[info] meanwhile");
    // 451 has used one; the outage uses none.
    eventually("both are done", || told.attempts() == [1, 2]);
    replica.terminate();
    replica.ended().well();
}

/// Certificate and key in one file. It is no CA's: openssl's own configuration would make it one, which proves no name.
fn certificate(directory: &TempDir) -> PathBuf {
    let file = directory.path().join("server.pem");
    let plain = directory.path().join("openssl.cnf");
    std::fs::write(&plain, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
    openssl.arg("-config").arg(plain).args(["-subj", "/CN=smtp.test", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-out").arg(&file).arg("-keyout").arg(directory.path().join("key.pem"));
    printed(openssl);
    let key = std::fs::read_to_string(directory.path().join("key.pem")).unwrap();
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &key).unwrap();
    file
}

#[test]
fn a_password_goes_only_to_a_server_that_proves_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(&directory);
    let secret = directory.path().join("password");
    std::fs::write(&secret, PASSWORD).unwrap();
    for tls in ["starttls", "implicit"] {
        let smtp = Smtp::secured(tls, &certificate);
        let (port, secret) = (smtp.port(), secret.display());
        let channel = format!(
            "kind: email, host: 127.0.0.1, port: {port}, tls: {tls}, username: ada, secret_file: '{secret}', \
             from: coafi@example.org, to: ada@example.org"
        );
        let told = Told::new("mail_tls", &channel);
        let test = |trusts: &Path| {
            let mut command = told.command(&["notify", "test", &told.world.group]);
            command.env("SSL_CERT_FILE", trusts).env_remove("SSL_CERT_DIR");
            Process::start(command).ended()
        };
        let refused = test(Path::new("/etc/ssl/certs/ca-certificates.crt"));
        assert_eq!(refused.code(), Some(3), "{tls}: {}", refused.stderr);
        assert!(refused.stderr.contains("certificate"), "{tls}: {}", refused.stderr);
        test(&certificate).well();
        let mails = smtp.until(1);
        assert_eq!((mails.len(), &mails[0]["login"]), (1, &"ada".into()), "{tls}: {mails:?}");
    }
}

/// Debian's, with a receiver that does nothing.
fn alertmanager(directory: &TempDir, port: u16) -> Process {
    let config = directory.path().join("alertmanager.yml");
    std::fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.path={}", directory.path().display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
    Process::start(command)
}

#[test]
fn alertmanager_has_an_alert_until_it_is_resolved() {
    let directory = tempfile::tempdir().unwrap();
    let port = coafi_testcontainers::free_address().unwrap().port();
    let _alertmanager = alertmanager(&directory, port);
    let url = format!("http://127.0.0.1:{port}");
    eventually("Alertmanager is ready", || {
        http::get(&format!("{url}/-/ready")).is_some_and(|answer| answer.status == 200)
    });
    let told = Told::new("alerts", &format!("kind: alertmanager, url: '{url}'"));
    let replica = told.replica();
    let alerts = || http::get(&format!("{url}/api/v2/alerts")).unwrap().json().as_array().unwrap().clone();
    told.say(
        "The press stands still",
        &["--severity", "critical", "--dedup", "press", "--text", "Since 7:40.", "--url", "https://example.org/press"],
    );
    let alert = found("the alert", || alerts().pop());
    assert_eq!(
        (&alert["labels"]["alertname"], &alert["status"]["state"]),
        (&"press".into(), &"active".into()),
        "{alert}"
    );
    assert_eq!(alert["annotations"]["summary"], "The press stands still");
    assert_eq!(alert["generatorURL"], "https://example.org/press");
    told.say("It runs again", &["--severity", "critical", "--dedup", "press", "--resolved"]);
    eventually("the alert is over", || alerts().is_empty());
    replica.terminate();
    replica.ended().well();
}
