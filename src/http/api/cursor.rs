//! Cursors: where the next page begins, in a form that is nobody's business but ours.
//!
//! A cursor names the query that it is of. It holds nothing that its holder may not know, and gives no right: whoever
//! sends one is asked for the same permission as without it. So it is checked, not signed.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::idempotency::digest;
use super::problem::Problem;

/// Changes with what is in them.
const VERSION: u8 = 1;
/// Of a name with what is around it.
const CURSOR_BYTES_MAX: usize = 16 * 1024;
/// Hexadecimal digits that name the query.
const QUERY_DIGITS: usize = 16;

/// `query`: everything that the page depends on besides the place.
pub(super) fn encode(query: &[&str], place: &impl Serialize) -> String {
    let cursor = serde_json::to_vec(&(VERSION, named(query), place)).expect("places are JSON");
    URL_SAFE_NO_PAD.encode(cursor)
}

/// # Errors
/// 400: it is not one of this query.
pub(super) fn decode<T: DeserializeOwned>(query: &[&str], cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = if cursor.len() > CURSOR_BYTES_MAX { None } else { URL_SAFE_NO_PAD.decode(cursor).ok() };
    let decoded = bytes.and_then(|bytes| serde_json::from_slice::<(u8, String, T)>(&bytes).ok());
    match decoded {
        Some((VERSION, of, place)) if of == named(query) => Ok(Some(place)),
        _ => {
            let detail =
                "cursor is none of this query's; allowed: the one of the page before, with the same parameters";
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-cursor", detail))
        }
    }
}

fn named(query: &[&str]) -> String {
    let parts: Vec<&[u8]> = query.iter().map(|part| part.as_bytes()).collect();
    digest(&parts)[..QUERY_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_query_alone() {
        let cursor = encode(&["parts", "wing"], &"wing-7");
        assert_eq!(decode::<String>(&["parts", "wing"], Some(&cursor)), Ok(Some("wing-7".to_owned())));
        assert_eq!(decode::<String>(&["parts", "wing"], None), Ok(None));
        let refused = |query: &[&str], cursor: &str| {
            let problem = decode::<String>(query, Some(cursor)).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{cursor}");
        };
        refused(&["parts", "tail"], &cursor);
        refused(&["partswing", ""], &cursor);
        refused(&["parts", "wing"], "");
        refused(&["parts", "wing"], &cursor[1..]);
        refused(&["parts", "wing"], &URL_SAFE_NO_PAD.encode("[1,2,3]"));
        refused(&["parts", "wing"], &"A".repeat(CURSOR_BYTES_MAX + 1));
    }
}
