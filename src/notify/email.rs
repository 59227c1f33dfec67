//! SMTP.

use std::time::Duration;

use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Email, SendError, Sent, SmtpTls};
use crate::config::host_name;

/// Of each command, the connection included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects for each message: a connection that is kept is closed by servers, and then a message fails.
#[derive(Debug)]
pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// # Errors
    /// A host that is none, or TLS that cannot be set up.
    pub(super) fn new(email: &Email) -> Result<Self, lettre::transport::smtp::Error> {
        let parameters = || TlsParameters::new(email.host.clone());
        let tls = match email.tls {
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let builder: AsyncSmtpTransportBuilder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(email.host.clone());
        let mut builder =
            builder.port(email.port).tls(tls).timeout(Some(TIMEOUT)).hello_name(ClientId::Domain(host_name()));
        if let (Some(username), Some(password)) = (&email.username, &email.password) {
            builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
        }
        Ok(Self(builder.build()))
    }

    /// # Errors
    /// [`SendError`], by what the server said: 4xx passes, 5xx does not (RFC 5321, 4.2.1).
    pub(super) async fn send(&self, message: Message) -> Result<Sent, SendError> {
        let answer = self.0.send(message).await.map_err(|error| meaning(&error))?;
        let said = answer.message().collect::<Vec<_>>().join(" ");
        Ok(Sent { answer: format!("{} {said}", answer.code()) })
    }

    /// Whether the server greets.
    pub(super) async fn answers(&self) -> Result<(), String> {
        match self.0.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err("it does not answer NOOP".to_owned()),
            // It is there, and says what it has against us.
            Err(error) if error.status().is_some_and(|_| error.is_permanent()) => Ok(()),
            Err(error) => Err(told(&error)),
        }
    }
}

fn meaning(error: &lettre::transport::smtp::Error) -> SendError {
    let message = told(error);
    // 421: the service closes; the server is there, and not for us.
    let closes = error.status().is_some_and(|code| code.to_string() == "421");
    if error.is_permanent() {
        SendError::Refused(message)
    } else if error.is_transient() && !closes {
        SendError::Later { message, after: None }
    } else if error.is_client() || error.is_response() {
        // What it says cannot be understood, or what we want it cannot do: a login, say.
        SendError::Refused(message)
    } else {
        SendError::Unreachable(message)
    }
}

fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if !text.contains(&inner.to_string()) {
            text.push_str(&format!(": {inner}"));
        }
        cause = inner.source();
    }
    text
}
