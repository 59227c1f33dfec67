//! What can be wrong with a routes file.

/// Names file, route, key and value, and says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoutesError {
    #[error("{file}: cannot be read: {message}")]
    Unreadable { file: String, message: String },
    /// Not YAML, or not of the shape of a routes file; `message` gives the position.
    #[error("{file}: {}{message}", route.as_ref().map(|r| format!("route {r:?}: ")).unwrap_or_default())]
    Shape { file: String, route: Option<String>, message: String },
    #[error("{file}: route {route:?}: {key}: {value} is not allowed; allowed: {allowed}")]
    Value { file: String, route: String, key: String, value: String, allowed: String },
    #[error("{file}: route {route:?}: {key} is missing; {allowed}")]
    Missing { file: String, route: String, key: String, allowed: String },
    #[error("{file}: route {route:?}: filter: {message}")]
    Filter { file: String, route: String, message: String },
    #[error("{file}: {message}")]
    Whole { file: String, message: String },
}
