//! What a content type says.

/// Without its parameters, in lower case.
#[must_use]
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether it is JSON's: `application/json`, or one that ends in `+json`.
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let media = essence(content_type);
    media == "application/json" || media.ends_with("+json")
}

/// Whether it is text for people, of any kind: `text/…`.
#[must_use]
pub fn is_text(content_type: &str) -> bool {
    essence(content_type).starts_with("text/")
}
