//! A broker whose second listener knows its clients by name and lets them do what an access control list says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{artifacts, kafka, run};

/// How long the certificate is believed.
const DAYS: &str = "30";
const CERTIFICATE: &str = "broker.pem";
const KEY: &str = "broker.key";

/// How clients of the second listener say who they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clients<'a> {
    /// By SCRAM-SHA-256: names with their passwords.
    Passwords(&'a [(&'a str, &'a str)]),
    /// By a certificate that the authority of this certificate has signed; who has none is refused.
    Certificates(&'a Path),
}

/// Prepares `directory` for a broker on the first port, where whoever asks may do anything, and on the second, where clients
/// speak TLS, say who they are, and may do nothing that was not allowed; the third is its controller's. Gives back its
/// certificate, by which clients believe it.
pub(crate) fn prepare(directory: &Path, ports: &[u16], clients: Clients<'_>) -> Result<PathBuf> {
    let &[port, secured_port, controller_port] = ports else { bail!("{} ports, not three", ports.len()) };
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    certify(directory)?;
    let (certificate, key) = (read_line(&directory.join(CERTIFICATE))?, read_line(&directory.join(KEY))?);
    let (protocol, known) = match clients {
        Clients::Passwords(_) => (
            "SASL_SSL",
            "\
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.secured.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"
            .to_owned(),
        ),
        Clients::Certificates(authority) => (
            "SSL",
            format!(
                "\
ssl.client.auth=required
ssl.truststore.type=PEM
ssl.truststore.certificates={}
",
                read_line(authority)?
            ),
        ),
    };
    let properties = kafka::server_properties(directory, port, controller_port)
        + &format!(
            "\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},SECURED://127.0.0.1:{secured_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{secured_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:{protocol}
{known}ssl.keystore.type=PEM
ssl.keystore.certificate.chain={certificate}
ssl.keystore.key={key}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"
        );
    let classpath = format!("{}/*", artifacts::kafka_jars()?.display());
    let scram = |(user, password): &(&str, &str)| format!("SCRAM-SHA-256=[name={user},password={password}]");
    let users = match clients {
        Clients::Passwords(users) => users,
        Clients::Certificates(_) => &[],
    };
    kafka::format_storage(
        directory,
        &properties,
        &kafka::cluster_id(),
        &classpath,
        &users.iter().map(scram).collect::<Vec<_>>(),
    )?;
    Ok(directory.join(CERTIFICATE))
}

fn certify(directory: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(directory).args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:prime256v1", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-days", DAYS, "-out", CERTIFICATE, "-keyout", KEY]);
    run(&mut openssl).context("make the broker's certificate (package openssl)")?;
    Ok(())
}

/// A file's lines as a property has them.
fn read_line(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end().replace('\n', "\\n"))
}
