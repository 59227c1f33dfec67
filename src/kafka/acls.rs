//! Access control lists, as Kafka's authorizer knows them.
//!
//! <https://kafka.apache.org/documentation/#security_authz>

use serde::Serialize;

/// What access is given to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "resource", content = "name")]
pub enum Resource {
    Topic(String),
    Group(String),
    TransactionalId(String),
    Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Pattern {
    #[serde(rename = "LITERAL")]
    Literal,
    /// Of everything whose name begins so.
    #[serde(rename = "PREFIXED")]
    Prefixed,
}

/// Whoever may read, write, delete or alter something may describe it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    AlterConfigs,
    Describe,
    DescribeConfigs,
}

/// What a principal is allowed with one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Acl {
    #[serde(flatten)]
    pub resource: Resource,
    pub pattern: Pattern,
    /// In order, each once.
    pub operations: Vec<Operation>,
}

impl Acl {
    #[must_use]
    pub fn topic(name: impl Into<String>, operations: &[Operation]) -> Self {
        Self { resource: Resource::Topic(name.into()), pattern: Pattern::Literal, operations: operations.to_vec() }
    }

    /// One that may be a member, and commit.
    #[must_use]
    pub fn group(name: impl Into<String>) -> Self {
        Self { resource: Resource::Group(name.into()), pattern: Pattern::Literal, operations: vec![Operation::Read] }
    }

    /// Ids that begin so.
    #[must_use]
    pub fn transactional_ids(prefix: impl Into<String>) -> Self {
        Self {
            resource: Resource::TransactionalId(prefix.into()),
            pattern: Pattern::Prefixed,
            operations: vec![Operation::Write],
        }
    }

    #[must_use]
    pub fn prefixed(self) -> Self {
        Self { pattern: Pattern::Prefixed, ..self }
    }
}

/// The arguments of `kafka-acls` that give these, in few calls: each starts a virtual machine.
#[must_use]
pub fn arguments(acls: &[Acl], principal: &str) -> Vec<Vec<String>> {
    let mut calls: Vec<(&Acl, Vec<&Acl>)> = Vec::new();
    for acl in acls {
        let is_like = |first: &Acl| {
            let same_kind = std::mem::discriminant(&first.resource) == std::mem::discriminant(&acl.resource);
            same_kind && first.pattern == acl.pattern && first.operations == acl.operations
        };
        match calls.iter_mut().find(|(first, _)| is_like(first)) {
            Some((_, together)) => together.push(acl),
            None => calls.push((acl, vec![acl])),
        }
    }
    calls.into_iter().map(|(_, together)| call(&together, principal)).collect()
}

/// Of resources of one kind, with the same operations.
fn call(acls: &[&Acl], principal: &str) -> Vec<String> {
    let mut arguments = vec!["--add", "--allow-principal", principal];
    let operations: Vec<String> = acls[0].operations.iter().map(|operation| format!("{operation:?}")).collect();
    operations.iter().for_each(|operation| arguments.extend(["--operation", operation]));
    for acl in acls {
        match &acl.resource {
            Resource::Topic(name) => arguments.extend(["--topic", name]),
            Resource::Group(name) => arguments.extend(["--group", name]),
            Resource::TransactionalId(name) => arguments.extend(["--transactional-id", name]),
            Resource::Cluster => arguments.push("--cluster"),
        }
    }
    if acls[0].pattern == Pattern::Prefixed {
        arguments.extend(["--resource-pattern-type", "prefixed"]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// One for each resource, with everything that any of these allows.
#[must_use]
pub fn merged(acls: impl IntoIterator<Item = Acl>) -> Vec<Acl> {
    let mut all = std::collections::BTreeMap::<_, std::collections::BTreeSet<Operation>>::new();
    for Acl { resource, pattern, operations } in acls {
        all.entry((resource, pattern)).or_default().extend(operations);
    }
    let acl = |((resource, pattern), operations): ((Resource, Pattern), std::collections::BTreeSet<Operation>)| Acl {
        resource,
        pattern,
        operations: operations.into_iter().collect(),
    };
    all.into_iter().map(acl).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_given_once() {
        let acls = [
            Acl::topic("b", &[Operation::Write]),
            Acl::topic("a", &[Operation::Read]),
            Acl::topic("b", &[Operation::Write, Operation::Read]),
            Acl::topic("b", &[Operation::Read]).prefixed(),
        ];
        let merged = merged(acls);
        assert_eq!(
            merged,
            [
                Acl::topic("a", &[Operation::Read]),
                Acl::topic("b", &[Operation::Read, Operation::Write]),
                Acl::topic("b", &[Operation::Read]).prefixed(),
            ]
        );
    }

    #[test]
    fn arguments_are_those_of_kafkas_own_tool() {
        let acls = [
            Acl::topic("t", &[Operation::Read, Operation::DescribeConfigs]),
            Acl::topic("w", &[Operation::Write]),
            Acl::topic("u", &[Operation::Read, Operation::DescribeConfigs]),
            Acl::transactional_ids("coafi/"),
        ];
        let calls: Vec<String> = arguments(&acls, "User:c").iter().map(|call| call.join(" ")).collect();
        assert_eq!(
            calls,
            [
                "--add --allow-principal User:c --operation Read --operation DescribeConfigs --topic t --topic u",
                "--add --allow-principal User:c --operation Write --topic w",
                "--add --allow-principal User:c --operation Write --transactional-id coafi/ --resource-pattern-type prefixed",
            ]
        );
    }
}
