//! Tokens of an OpenID provider that we did not write: what it signs is believed, whatever key it takes next.

use std::process::Command;

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::http::{self, Answer};
use crate::process::{Process, eventually, found};
use crate::terminator::Terminator;
use crate::tools;
use crate::world::World;

const MAY: &str = "api:registries:GET";

struct Provider {
    /// It ends with this.
    _process: Process,
    issuer: String,
    keys: String,
}

impl Provider {
    fn start() -> Self {
        let process = Process::start(tools::oidc_server());
        let said: Value =
            found("where it is", || process.log().lines().next().map(|line| serde_json::from_str(line).unwrap()));
        let url = |name: &str| said[name].as_str().unwrap().to_owned();
        Self { issuer: url("issuer"), keys: url("keys"), _process: process }
    }

    /// As a client gets it, with these claims besides its own.
    fn token(&self, claims: &Value) -> String {
        let claims: String = claims.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("grant_type=client_credentials&claims={claims}");
        let answer = http::ask("POST", &format!("{}/token", self.issuer), &headers, &body).expect("an answer");
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    /// From now on it signs with one more key, in turn.
    fn also_signs_with(&self, algorithm: &str) {
        let made = http::ask("POST", &format!("{}/{algorithm}", self.keys), &[], "").expect("an answer");
        assert_eq!(made.status, 200, "{made:?}");
    }
}

fn claims() -> Value {
    json!({"sub": "ada", "aud": "coafi", "permissions": [MAY]})
}

/// An API that believes this provider, whose keys it fetches here.
fn serving(world: &World, provider: &Provider, keys: &str) -> Command {
    let issuer = &provider.issuer;
    let yaml = format!(
        "api:\n  listen: 127.0.0.1:0\n  jwt: {{issuer: '{issuer}', audience: coafi, jwks_url: '{keys}/jwks'}}\n"
    );
    std::fs::write(world.path("coafi.yaml"), yaml).unwrap();
    let mut command = world.command(&["api"]);
    command.env("COAFI__LOG__LEVEL", "info");
    command
}

fn asked(url: &str, token: &str) -> Answer {
    http::ask("GET", url, &[("Authorization", &format!("Bearer {token}"))], "").expect("an answer")
}

#[test]
fn keys_are_taken_from_whom_the_trusted_authority_vouches_for_and_from_no_other() {
    let (provider, world, authority) = (Provider::start(), World::new("oidc_tls"), Authority::new());
    let secured = Terminator::before(&provider.issuer, &authority.certify("provider"));
    for (trusted, status) in [(&authority, 200), (&Authority::new(), 503)] {
        let mut command = serving(&world, &provider, &secured.url());
        command.env("SSL_CERT_FILE", trusted.certificate()).env_remove("SSL_CERT_DIR");
        let api = Process::start(command);
        let url = format!("http://{}/registries", api.served("serving the API"));
        let answer = asked(&url, &provider.token(&claims()));
        assert_eq!(answer.status, status, "{answer:?}: {}", api.log());
        assert_eq!(api.log().contains("invalid peer certificate"), status == 503, "{}", api.log());
        api.terminate();
        api.ended().well();
    }
}

#[test]
fn tokens_of_a_provider_are_believed_and_so_are_its_next_keys() {
    let provider = Provider::start();
    let world = World::new("oidc");
    let api = Process::start(serving(&world, &provider, &provider.issuer));
    let url = format!("http://{}/registries", api.served("serving the API"));
    let ask = |token: &str| asked(&url, token);
    let claims = claims();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        provider.token(&claims)
    };
    let accepted = ask(&provider.token(&claims));
    assert_eq!(accepted.status, 200, "{accepted:?}");
    for (token, status) in [
        (with("permissions", json!(["api:workflow/start:POST"])), 403),
        (with("aud", json!("somebody else")), 401),
        (with("iss", json!("http://localhost:1")), 401),
        (with("exp", json!(1)), 401),
        (with("sub", Value::Null), 401),
    ] {
        let refused = ask(&token);
        assert_eq!(refused.status, status, "{refused:?}");
    }

    let (before, mut header) = (provider.token(&claims), Vec::new());
    for algorithm in ["ES256", "RS256"] {
        provider.also_signs_with(algorithm);
        // A new key is looked for as soon as a token names it, but for a few seconds after the last time.
        let signed = [(); 3].map(|()| provider.token(&claims));
        header.extend(signed.iter().map(|token| token.split('.').next().unwrap().to_owned()));
        eventually("every key's token is believed", || signed.iter().all(|token| ask(token).status == 200));
    }
    header.sort();
    header.dedup();
    assert_eq!(header.len(), 3, "there were three keys");

    drop(provider);
    assert_eq!(ask(&before).status, 200, "its keys are known while it is away");
    api.terminate();
    api.ended().well();
}
