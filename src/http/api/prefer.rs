//! `Prefer: wait=N` (RFC 7240): how long a caller wants to wait for the outcome.

use std::time::Duration;

use axum::http::HeaderMap;

const HEADER: &str = "prefer";

/// The first `wait` among the preferences; what is none is passed over, as the RFC has it.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = texts.flat_map(|text| text.split([',', ';']));
    preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_that_is_none_is_passed_over() {
        let check = |text: &str, expected: Option<u64>| {
            let headers = [(HEADER.parse().unwrap(), text.parse().unwrap())].into_iter().collect();
            assert_eq!(wait(&headers), expected.map(Duration::from_secs), "{text}");
        };
        check("wait=10", Some(10));
        check("respond-async, Wait = \"7\"", Some(7));
        check("wait=soon", None);
        check("wait=-1", None);
        check("return=minimal", None);
        check("wait", None);
    }
}
