//! Where calls to servers of others may go.

use super::section::Section;
use crate::outgoing::Allowed;

/// What may be called besides public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    pub allow: Vec<Allowed>,
}

impl Outgoing {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut allow = Vec::new();
        for text in section.texts("allow", &[]) {
            match text.parse() {
                Ok(allowed) => allow.push(allowed),
                Err(error) => section.reject("allow", format!("{text:?} is not allowed; {error}")),
            }
        }
        Self { allow }
    }
}
