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

/// A URL that is called, whose query may be a secret: `Debug` and `Display` replace it by `***`, and say nothing of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Callee(reqwest::Url);

impl Callee {
    /// `None` if `text` is no http or https URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = reqwest::Url::parse(text).ok()?;
        (["http", "https"].contains(&url.scheme()) && url.has_host()).then_some(Self(url))
    }

    #[must_use]
    pub fn has_user(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some()
    }

    /// Stands for one that is missing.
    pub(super) fn nowhere() -> Self {
        Self(reqwest::Url::parse("http://nowhere.invalid").expect("it is a URL"))
    }

    /// The whole URL, for the client that calls it.
    #[must_use]
    pub fn expose(&self) -> &reqwest::Url {
        &self.0
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        let query = shown.query().map(|_| format!("?{REDACTED}")).unwrap_or_default();
        shown.set_query(None);
        shown.set_fragment(None);
        // An error means that there is no user to leave out.
        let _ = (shown.set_username(""), shown.set_password(None));
        write!(f, "{shown}{query}")
    }
}

impl fmt::Debug for Callee {
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

    #[test]
    fn what_is_called_shows_neither_user_nor_query() {
        let callee = Callee::parse("https://host/a?code=hunter2#top").unwrap();
        assert_eq!(format!("{callee} {callee:?}"), "https://host/a?*** https://host/a?***");
        assert_eq!(callee.expose().query(), Some("code=hunter2"));
        assert_eq!(Callee::parse("http://host:8080").unwrap().to_string(), "http://host:8080/");
        let user = Callee::parse("https://me:hunter2@host").unwrap();
        assert_eq!((user.has_user(), user.to_string().as_str()), (true, "https://host/"));
        for text in ["ftp://host", "host", "file:///etc/passwd"] {
            assert_eq!(Callee::parse(text), None, "{text}");
        }
    }
}
