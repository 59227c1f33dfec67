//! TLS to every server that is spoken to, where certificates are of an authority of one's own: who is told of it works with them,
//! and who is not refuses them and says so.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;

use coafi_testcontainers::{GitHost, Postgres, SecuredKafka};
use serde_json::Value;

use crate::authority::Authority;
use crate::event::{attributes, commit_data};
use crate::http;
use crate::process::{Ended, Process, eventually};
use crate::receiver::Receiver;
use crate::repositories::Repository;
use crate::stack::{Stack, unique};
use crate::terminator::Terminator;
use crate::tools::{kafka, s3_server};
use crate::topic::{Producer, Record, create, ends, read};
use crate::world::World;

/// What rustls says of a certificate, and OpenSSL.
const NOT_BELIEVED: &str = "invalid peer certificate";
const NOT_VERIFIED: &str = "certificate verify failed";
/// What a broker says to a client that shows none: "bad certificate" or "certificate required", as its JDK does.
const NOT_SHOWN: &str = "SSL alert number";

/// As a user does who trusts an authority.
fn trusting(mut command: Command, certificate: &Path) -> Command {
    command.env("SSL_CERT_FILE", certificate).env_remove("SSL_CERT_DIR");
    command
}

fn refused(command: Command, server: &str) -> Ended {
    let refused = Process::start(command).ended();
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains(server) && refused.stderr.contains(NOT_BELIEVED), "{refused:?}");
    refused
}

/// Waits for such a line of its log, and shows the whole log where there is none.
fn says(process: &Process, what: &str, is_it: impl Fn(&str) -> bool) {
    let waited = AssertUnwindSafe(|| eventually(what, || process.log().lines().any(&is_it)));
    assert!(std::panic::catch_unwind(waited).is_ok(), "{what} is not in\n{}", process.log());
}

#[test]
fn a_database_that_cannot_prove_itself_is_not_used() {
    let (ours, others) = (Authority::new(), Authority::new());
    let identity = ours.certify("postgres");
    let postgres = Postgres::start_with_certificate(&identity.certificate, &identity.key).unwrap();
    let world = World::on(Stack { postgres: postgres.url(), ..Stack::shared() }, "tls_database");
    let (root, other_root) = (ours.certificate(), others.certificate());
    let with = |args: &[&str], host: &str, settings: &str| {
        let mut command = trusting(world.command(args), &other_root);
        let url = world.database.url().replace("127.0.0.1", host);
        command.env("COAFI__DATABASE__URL", format!("{url}?{settings}"));
        command
    };
    let verified = |mode: &str, root: &Path| format!("sslmode={mode}&sslrootcert={}", root.display());
    let list = ["registry", "list"];
    for (host, settings) in [
        ("127.0.0.1", "sslmode=verify-full".to_owned()),
        ("127.0.0.1", verified("verify-full", &other_root)),
        ("127.0.0.1", verified("verify-ca", &other_root)),
        // It proves that it is 127.0.0.1.
        ("localhost", verified("verify-full", &root)),
    ] {
        let refused = refused(with(&list, host, &settings), &format!("postgres://{host}:{}/", postgres.port()));
        assert!(refused.stderr.contains("docs/security.md"), "{refused:?}");
    }
    let missing = Process::start(with(&list, "127.0.0.1", &verified("verify-full", Path::new("none.pem")))).ended();
    assert_eq!(missing.code(), Some(1), "{missing:?}");
    assert!(missing.stderr.contains("sslrootcert=none.pem cannot be read"), "{missing:?}");

    let push = world.push("key");
    world.send(&push);
    let waiting = Process::start(with(&["consume"], "127.0.0.1", &verified("verify-full", &other_root)));
    says(&waiting, "what it waits for", |line| line.contains("waiting to start") && line.contains(NOT_BELIEVED));
    waiting.terminate();
    waiting.ended().well();
    assert!(world.outcomes().is_empty(), "{:?}", world.outcomes());

    let mut replica = Process::start(with(&["consume"], "127.0.0.1", &verified("verify-full", &root)));
    replica.until_ready();
    world.until_ended(1);
    let connections = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND application_name = 'coafi' AND";
    let count = |which: &str| world.database.number(&format!("{connections} {which}"));
    assert!(count("ssl") > 0);
    assert_eq!(count("NOT ssl"), 0);
    replica.terminate();
    replica.ended().well();
    assert_eq!(world.end_of(&push).outcome, "processed");

    Process::start(with(&list, "localhost", &verified("verify-ca", &root))).ended().well();
    // What all other servers are believed by is enough.
    Process::start(trusting(with(&list, "127.0.0.1", "sslmode=verify-full"), &root)).ended().well();
}

/// A world whose servers speak TLS, all but Kafka and the database.
struct Secured {
    world: World,
    authority: Authority,
    registry: Terminator,
    registry_path: String,
    receiver: Receiver,
    called: Terminator,
    git_host: GitHost,
    git: Terminator,
    repository: Repository,
    s3_url: String,
    s3: Terminator,
    /// It ends with this.
    _store: Process,
}

const BUCKET: &str = "artifacts";

impl Secured {
    fn new() -> Self {
        let world = World::new("tls");
        let authority = Authority::new();
        let identity = authority.certify("server");
        let repository = Repository::init(world.path("repository"));
        let git_host = GitHost::start(&repository.path).unwrap();
        let receiver = Receiver::start();
        let port = coafi_testcontainers::free_address().unwrap().port();
        let (store, s3_url) = (Process::start(s3_server(port)), format!("http://127.0.0.1:{port}"));
        eventually("there is a bucket", || {
            http::ask("PUT", &format!("{s3_url}/{BUCKET}"), &[], "").is_some_and(|answer| answer.status == 200)
        });
        let (_, registry_path) = world.stack.registry.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let secured = Self {
            registry: Terminator::before(&world.stack.registry, &identity),
            registry_path: registry_path.to_owned(),
            called: Terminator::before(&format!("http://{}", receiver.address), &identity),
            git: Terminator::before(&git_host.origin(), &identity),
            s3: Terminator::before(&s3_url, &identity),
            world,
            authority,
            receiver,
            git_host,
            repository,
            s3_url,
            _store: store,
        };
        secured.configure();
        secured
    }

    fn configure(&self) {
        let (world, called) = (&self.world, self.called.url());
        world.change_routes(|routes| routes.replace("handler: git_ref", "handler: http:beyond"));
        std::fs::write(world.path("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let yaml = format!(
            "outgoing: {{allow: [127.0.0.0/8]}}
endpoints: [{{name: beyond, url: '{called}/events', secret_file: secret}}]
notifications: {{channels: [{{name: hook, kind: webhook, url: '{called}/hook', secret_file: secret}}]}}
git: {{repositories: ['{}', '{}']}}
artifacts: {{url: s3://{BUCKET}/pages}}
",
            self.repository_url(),
            self.repository.url(),
        );
        std::fs::write(world.path("coafi.yaml"), yaml).unwrap();
    }

    fn repository_url(&self) -> String {
        self.git_host.url().replace(&self.git_host.origin(), &self.git.url())
    }

    fn command(&self, args: &[&str], trusted: &Authority) -> Command {
        let mut command = trusting(self.world.command(args), &trusted.certificate());
        let access = [("AWS_ACCESS_KEY_ID", "us"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("AWS_REGION", "us-east-1")];
        command.envs(access).env("AWS_ENDPOINT", self.s3.url());
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", self.called.url()).env("OTEL_METRIC_EXPORT_INTERVAL", "500");
        command
    }

    fn with_registry(&self, args: &[&str], trusted: &Authority) -> Command {
        let mut command = self.command(args, trusted);
        command.env("COAFI__SCHEMA_REGISTRY__URL", format!("{}/{}", self.registry.url(), self.registry_path));
        command
    }

    /// A commit that has a page, of the repository at this address.
    fn commit(&self, key: &str, url: &str) -> Record {
        let sha = self.repository.commit_file(&format!("docs/{key}.md"), "# A document\n\nWith a page of its own.\n");
        let value = Some(self.world.commits.encode(&commit_data(url, &sha)));
        Record { key: Some(key.into()), value, ..attributes("git.commit", "/product") }
    }
}

#[test]
fn servers_are_believed_by_the_authority_that_is_trusted_and_by_no_other() {
    let secured = Secured::new();
    let world = &secured.world;
    let (push, commit) = (world.push("push"), secured.commit("commit", &secured.repository_url()));
    world.send(&push);
    world.send(&commit);
    let trusted = &secured.authority;
    Process::start(secured.with_registry(&["consume", "--exit-when-idle", "1s"], trusted)).ended().well();
    for event in [&push, &commit] {
        let end = world.end_of(event);
        assert_eq!((&*end.outcome, end.attempt), ("processed", 1), "{end:?}");
    }
    Process::start(secured.command(&["notify", "test", "hook"], trusted)).ended().well();
    let paths: Vec<String> = secured.receiver.all().into_iter().map(|received| received.path).collect();
    for path in ["/events", "/hook", "/v1/traces", "/v1/metrics"] {
        assert!(paths.iter().any(|called| called == path), "{path}: {paths:?}");
    }
    let stored = http::get(&format!("{}/{BUCKET}?list-type=2&prefix=pages", secured.s3_url)).expect("an answer");
    assert!(stored.body.contains(".html</Key>"), "{stored:?}");
    let received = paths.len();

    let stranger = Authority::new();
    let refusal = refused(secured.with_registry(&["schemas", "check"], &stranger), &secured.registry.url());
    assert!(refusal.stderr.contains("SSL_CERT_FILE"), "{refusal:?}");
    refused(secured.command(&["notify", "test", "hook"], &stranger), "hook");
    // Of one route what is found out first is waited for: the store, and in a second run, which reaches it, the git host.
    world.send(&world.push("push"));
    world.send(&secured.commit("near", &secured.repository.url()));
    let replica = Process::start(secured.command(&["consume"], &stranger));
    for dependency in ["http:beyond", "artifacts"] {
        says(&replica, dependency, |line| is_down(line, dependency));
    }
    says(&replica, "telemetry is not sent", |line| line.contains("PeriodicReader.ExportError"));
    replica.terminate();
    replica.ended();
    let ended = || world.outcomes().into_iter().filter(|outcome| outcome.is_final()).count();
    assert_eq!(ended(), 2, "nothing came of the others");

    world.send(&secured.commit("far", &secured.repository_url()));
    let mut command = secured.command(&["consume"], &stranger);
    command.env("AWS_ENDPOINT", &secured.s3_url).env("AWS_ALLOW_HTTP", "true");
    let replica = Process::start(command);
    let git = format!("git:{}", secured.git.url());
    says(&replica, &git, |line| is_down(line, &git));
    replica.terminate();
    replica.ended();
    assert!(ended() <= 3, "what has no need of these servers may be handled");
    assert_eq!(secured.receiver.all().len(), received, "nobody was called");
}

/// Whether a line of the log says so, and that a certificate is why.
fn is_down(line: &str, dependency: &str) -> bool {
    let line: Value = serde_json::from_str(line).expect("a log line is JSON");
    line["dependency"] == dependency && line["error"].as_str().is_some_and(|error| error.contains(NOT_BELIEVED))
}

const FEDERATED: &str = "coafi.federated";
const SPACE: &str = "space.events";
/// Who we are to the domain.
const US: &str = "coafi";

#[test]
fn a_domain_that_asks_for_certificates_is_read_by_whom_it_knows() {
    let authority = Authority::new();
    let us = authority.certify(US);
    let theirs = SecuredKafka::start_with_authority(&authority.certificate()).unwrap();
    let world = World::new("mtls");
    world.also_declare(FEDERATED);
    let start = ends(&world.stack.kafka, FEDERATED);
    let servers = theirs.kafka.bootstrap_servers();
    create(&servers, SPACE, 1 << 20);
    let principal = format!("User:CN={US}");
    let may =
        ["--add", "--allow-principal", &principal, "--operation", "Read", "--topic", SPACE, "--group", "coafi-scan"];
    assert_eq!(kafka("AclCommand", &[&["--bootstrap-server", &servers], &may[..]].concat()).code(), Some(0));
    let message = Record { value: Some(b"{\"n\":1}".to_vec()), ..attributes("Measured", "/space/telemetry") };
    let message = message.without("content-type").with("content-type", "application/json");
    Producer::new(&servers).send(SPACE, &message);

    let [space, nameless, doubtful] = ["space", "nameless", "doubtful"].map(unique);
    let believes = format!("ssl.ca.location: {}", theirs.certificate.display());
    let proves =
        format!("ssl.certificate.location: {}, ssl.key.location: {}", us.certificate.display(), us.key.display());
    let domain = |name: &str, client: &str| {
        format!(
            "  - {{name: {name}, topics: [{SPACE}], authentication: transport, bootstrap_servers: '{}', \
             client: {{security.protocol: SSL, {client}}}}}\n",
            theirs.secured_servers
        )
    };
    let domains =
        [domain(&space, &format!("{believes}, {proves}")), domain(&nameless, &believes), domain(&doubtful, &proves)];
    std::fs::write(world.path("coafi.yaml"), format!("federated:\n  domains:\n{}", domains.concat())).unwrap();
    let connector = Process::start(world.command(&["connect", "federated"]));
    // As our own cluster: believed by nobody's word, and by that of an authority that is trusted, but without a certificate for us.
    let own = |trusted: &Path| {
        let mut own = trusting(world.command(&["consume"]), trusted);
        own.env("COAFI__KAFKA__BOOTSTRAP_SERVERS", &theirs.secured_servers);
        own.env("COAFI__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL");
        Process::start(own)
    };
    let replicas = [(own(&authority.certificate()), NOT_VERIFIED), (own(&theirs.certificate), NOT_SHOWN)];

    let of = |domain: &str| {
        let source = format!("/coafi/federated/{domain}");
        let events = read(&world.stack.kafka, FEDERATED, &start).into_iter();
        events.filter(|read| read.record.header("ce_source") == Some(&*source)).count()
    };
    eventually("the message", || of(&space) == 1);
    for (domain, why) in [(nameless.as_str(), NOT_SHOWN), (doubtful.as_str(), NOT_VERIFIED)] {
        says(&connector, domain, |line| {
            line.contains("the topic is not tailed")
                && [domain, &theirs.secured_servers, why].iter().all(|part| line.contains(part))
        });
        assert_eq!(of(domain), 0);
    }
    connector.terminate();
    connector.ended().well();
    for (replica, why) in replicas {
        says(&replica, "why the cluster is waited for", |line| {
            ["waiting to start", &theirs.secured_servers, why].iter().all(|part| line.contains(part))
        });
        replica.terminate();
        replica.ended().well();
    }
}
