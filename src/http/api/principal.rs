//! Who asks, and what that one may do.

/// Somebody who was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principal {
    /// `key:<name>` or `jwt:<subject>`: nobody of one kind passes for one of the other.
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
}

impl Principal {
    /// Whether one of the permissions is this one, or ends in `*` and begins it.
    pub(super) fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|granted| match granted.strip_suffix('*') {
            Some(prefix) => permission.starts_with(prefix),
            None => granted == permission,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_exact_or_a_beginning() {
        let check = |granted: &[&str], expected: bool| {
            let permissions = granted.iter().map(|&text| text.to_owned()).collect();
            let principal = Principal { name: "key:a".into(), permissions };
            assert_eq!(principal.may("api:registry/update:POST"), expected, "{granted:?}");
        };
        check(&[], false);
        check(&["api:workflow/start:POST", "api:registry/update:POST"], true);
        check(&["api:registry/update"], false);
        check(&["api:registry/*"], true);
        check(&["api:reg*:POST"], false);
        check(&["*"], true);
    }
}
