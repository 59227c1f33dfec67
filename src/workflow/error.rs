//! What can be wrong with a definition.

/// Names file, line and step, and says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}{message}", step.as_ref().map(|step| format!("step {step:?}: ")).unwrap_or_default())]
pub struct DefinitionError {
    pub file: String,
    /// From 1; of a step's first line, where it is a step that is wrong.
    pub line: u64,
    pub step: Option<String>,
    pub message: String,
}
