//! W3C Trace Context of requests.

use axum::http::HeaderMap;

use crate::connectors::traceparent_of;

/// The caller's trace goes on in the event; else one begins here.
pub(super) fn of_request(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|text| is_traceparent(text));
    given.map_or_else(|| traceparent_of(&tracing::Span::current()), str::to_owned)
}

/// Of version 00.
pub(super) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match parts[..] {
        ["00", trace, span, flags] => {
            let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
            hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_the_caller_goes_on() {
        let check = |text: &str, expected: bool| assert_eq!(is_traceparent(text), expected, "{text}");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("", false);
    }
}
