//! What `coafi connect bitt` watches for.

use std::collections::BTreeSet;

use super::section::Section;
use crate::connectors::bitt::{Watch, WatchPatterns};
use crate::connectors::tail::{OnLoss, Start};

#[derive(Clone, Debug, PartialEq)]
pub struct Bitt {
    pub watch: Vec<Watch>,
    pub start: Start,
    pub on_loss: OnLoss,
}

/// More watches than this are an error: every record is held against every one.
const WATCHES_MAX: usize = 100;
const NAME_ALLOWED: &str = "1 to 100 letters, digits, '.', '_' and '-'";
const NAME_BYTES_MAX: usize = 100;

impl Bitt {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let read = section.sections("watch", "name", watch);
        let bitt = Self {
            watch: read.iter().flatten().cloned().collect(),
            // Whoever begins to watch has no use for alerts of last year.
            start: section.choice("start", &[("latest", Start::Latest), ("earliest", Start::Earliest)]),
            on_loss: section.choice("on_loss", &[("halt", OnLoss::Halt), ("continue", OnLoss::Continue)]),
        };
        let mut names = BTreeSet::new();
        for (index, watch) in read.iter().enumerate() {
            if watch.as_ref().is_some_and(|watch| !watch.name.is_empty() && !names.insert(watch.name.as_str())) {
                section.reject(&format!("watch[{index}].name"), "two watches have this name");
            }
        }
        if bitt.watch.len() > WATCHES_MAX {
            section.reject("watch", format!("there are {}; allowed: at most {WATCHES_MAX}", bitt.watch.len()));
        }
        bitt
    }
}

fn watch(section: &mut Section<'_>) -> Option<Watch> {
    let is_name = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
    };
    let name = section.named("name", NAME_ALLOWED, is_name);
    let types = section.texts("type", &["*"]);
    let when = section.optional_text("when");
    let patterns = WatchPatterns::new(&types).map_err(|bad| section.reject("type", bad.to_string())).ok();
    let when = when.map(|text| Watch::condition(&text)).transpose();
    let when = when.map_err(|bad| section.reject("when", bad.to_string())).ok();
    Some(Watch { name, types: patterns?, when: when? })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::config::{Sources, load};

    #[test]
    fn what_is_wrong_in_a_watch_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.yaml");
        let yaml =
            "bitt: {watch: [{name: 'a b'}, {name: a, type: ['[']}, {name: b, when: 'recrd.x'}, {name: c}, {name: c}]}";
        std::fs::write(&file, yaml).unwrap();
        let error = load(&Sources { file: Some(file), ..Sources::default() }).unwrap_err().to_string();
        let lines: Vec<&str> =
            error.lines().map(|line| line.split_once("c.yaml: ").map_or(line, |(_, rest)| rest)).collect();
        expect![[r#"
            bitt.watch[0].name: "a b" is not allowed; allowed: 1 to 100 letters, digits, '.', '_' and '-'
            bitt.watch[1].type: "[" is no glob: unclosed character class; missing ']'
            bitt.watch[2].when: "recrd.x" names "recrd"; allowed: record
            bitt.watch[4].name: two watches have this name"#]]
        .assert_eq(&lines.join("\n"));
    }
}
