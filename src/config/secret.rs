//! Values that are not to be seen in logs, in `config show` or in a panic message.

use std::fmt;

const REDACTED: &str = "***";

/// A password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for the client that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A URL that may carry a password, which `Debug` and `Display` replace by `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(reqwest::Url);

impl Endpoint {
    /// `None` if `text` is no absolute URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        reqwest::Url::parse(text).ok().map(Self)
    }

    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    /// The same URL with this password; unchanged where the scheme has no user part (SQLite).
    #[must_use]
    pub fn with_password(mut self, password: &Secret) -> Self {
        // An error means that the URL cannot carry one, which is the documented result.
        let _ = self.0.set_password(Some(password.expose()));
        self
    }

    /// The whole URL, for the client that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_password() {
            return f.write_str(self.0.as_str());
        }
        let mut shown = self.0.clone();
        match shown.set_password(Some(REDACTED)) {
            Ok(()) => f.write_str(shown.as_str()),
            Err(()) => f.write_str(REDACTED),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let endpoint = Endpoint::parse("postgres://coafi@db/coafi").unwrap().with_password(&Secret::new("hunter2"));
        assert_eq!(endpoint.expose(), "postgres://coafi:hunter2@db/coafi");
        assert_eq!(format!("{endpoint} {endpoint:?} {:?}", Secret::new("hunter2")).matches("hunter2").count(), 0);
        assert_eq!(endpoint.to_string(), "postgres://coafi:***@db/coafi");
    }
}
