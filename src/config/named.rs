//! Things of a list that have names, and secrets that the environment has for them: how a [`Section`] reads them.

use std::collections::BTreeMap;

use super::Secret;
use super::section::Section;
use super::values::variable;

/// Secrets by the names of what they are for, as a variable has them: `COAFI__<SECTION>__<KEY>__<NAME>`.
pub(super) struct NamedSecrets {
    key: &'static str,
    path: String,
    by_name: BTreeMap<String, Vec<Secret>>,
}

/// What is a part of a variable's name, with '-' as '_', and of a path.
pub(super) fn is_plain_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// How a thing is called in the environment, where there is no '-'.
fn in_variables(name: &str) -> String {
    name.replace('-', "_")
}

impl Section<'_> {
    /// A name that must be there; empty, with a problem noted, if it is not or is none.
    pub(super) fn named(&mut self, key: &'static str, allowed: &str, is_name: impl Fn(&str) -> bool) -> String {
        let parse = |text: &str| is_name(text).then(|| text.to_owned());
        let name = self.parsed(key, String::new(), allowed, parse, Clone::clone);
        if name.is_empty() {
            self.reject(key, format!("is missing; allowed: {allowed}"));
        }
        name
    }

    /// Notes each name of the list `key` that an earlier one has too.
    pub(super) fn distinct<'a>(&mut self, key: &str, names: impl IntoIterator<Item = &'a str>, message: &str) {
        let names: Vec<&str> = names.into_iter().collect();
        for (index, name) in names.iter().enumerate() {
            if !name.is_empty() && names[..index].contains(name) {
                self.reject(&format!("{key}[{index}].name"), message);
            }
        }
    }

    pub(super) fn secrets_by_name(&mut self, key: &'static str) -> NamedSecrets {
        NamedSecrets { key, path: self.path_of(key), by_name: self.named_secrets(key) }
    }

    /// Notes each secret that is nobody's.
    pub(super) fn owned<'a>(
        &mut self,
        secrets: &NamedSecrets,
        names: impl IntoIterator<Item = &'a str>,
        message: &str,
    ) {
        let known: Vec<String> = names.into_iter().map(in_variables).collect();
        for name in secrets.by_name.keys().filter(|name| !known.contains(name)) {
            self.reject(&format!("{}.{name}", secrets.key), message);
        }
    }
}

impl NamedSecrets {
    /// Those of the file that `secret_file` of the thing names, and those of the environment; and the variable that these are in.
    pub(super) fn of(&self, section: &mut Section<'_>, name: &str) -> (Vec<Secret>, String) {
        let name = in_variables(if name.is_empty() { "<name>" } else { name });
        let mut secrets = section.secret_lines("secret_file");
        secrets.extend(self.by_name.get(&name).into_iter().flatten().cloned());
        (secrets, variable(&format!("{}.{name}", self.path)))
    }
}
