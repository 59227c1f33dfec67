//! How a server is told who fetches from it.

use percent_encoding::percent_decode_str;

use crate::config::Secret;

/// A user and a password or token, sent with every request to the server, over TLS only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

impl Credentials {
    /// An http or https URL without its user part, and what that says; any other address as it is.
    #[must_use]
    pub fn split(url: &str) -> (String, Option<Self>) {
        let whole = || (url.to_owned(), None);
        let Some((scheme, rest)) = url.split_once("://") else { return whole() };
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return whole();
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((user, host)) = authority.rsplit_once('@') else { return whole() };
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = Self { username: decoded(username), password: Secret::new(decoded(password)) };
        (format!("{scheme}://{host}{path}"), Some(credentials))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, without: &str, expected: Option<(&str, &str)>) {
        let (shown, credentials) = Credentials::split(url);
        assert_eq!(shown, without, "{url}");
        let split = credentials.as_ref().map(|c| (c.username.as_str(), c.password.expose()));
        assert_eq!(split, expected, "{url}");
        assert!(!format!("{credentials:?}").contains("hunter2"), "{url}");
    }

    #[test]
    fn a_user_part_is_taken_out_of_an_http_url() {
        check("https://me:hunter2@host/o/r.git", "https://host/o/r.git", Some(("me", "hunter2")));
        check("HTTPS://me:a%40%2Fb@host:8443/r", "HTTPS://host:8443/r", Some(("me", "a@/b")));
        check("https://token@host/r", "https://host/r", Some(("token", "")));
        check("https://host/@scope/r", "https://host/@scope/r", None);
        check("git@host:o/r.git", "git@host:o/r.git", None);
        check("ssh://git@host/r", "ssh://git@host/r", None);
        check("/srv/a@b", "/srv/a@b", None);
    }
}
