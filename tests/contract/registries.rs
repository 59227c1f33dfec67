//! Registries are read, searched and trimmed alike in both databases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coafi::registry::words;
use coafi::store::{
    EntryChange, EntryFilter, Fence, HistoryKept, InboxKey, PAGE_CHARS_MAX, Requests, Settings, StoreError, Unchanged,
    UnitOfWork, open,
};
use serde_json::{Value, json};

use crate::store::databases::{execute, on_every_address};

/// A store that entries are written to, each write as an event of its own.
struct World {
    store: Arc<dyn Requests>,
    url: String,
    fence: Fence,
}

impl World {
    async fn open(url: String) -> Self {
        let store = open(&url, &Settings::default()).await.unwrap();
        let fence = store.claim("g", &[("coafi.api".into(), 0, 0)]).await.unwrap().remove(0);
        Self { store, url, fence }
    }

    async fn write(&self, registry: &str, entries: &[(&str, Option<Value>)]) {
        write(&*self.store, &self.fence, registry, entries).await;
    }

    async fn find(&self, filter: &EntryFilter) -> Vec<String> {
        pages(&*self.store, "parts", filter, 100).await
    }

    async fn search(&self, text: &str) -> Vec<String> {
        let words = words::asked(text);
        assert!(!words.is_empty(), "{text:?}");
        self.find(&EntryFilter { words, ..EntryFilter::default() }).await
    }
}

async fn write(store: &dyn Requests, fence: &Fence, registry: &str, entries: &[(&str, Option<Value>)]) {
    let change = |(entry, data): &(&str, Option<Value>)| EntryChange {
        registry: registry.into(),
        entry: (*entry).into(),
        data: data.clone(),
        utids: None,
        principal: Some("key:ada".into()),
        expected_version: None,
        follows: None,
        position: None,
    };
    let id = uuid::Uuid::now_v7().to_string();
    let inbox = InboxKey { group: "g".into(), handler: "h".into(), source: "/s".into(), id, run: String::new() };
    let (fence, changes) = (fence.clone(), entries.iter().map(change).collect());
    store
        .commit(UnitOfWork { inbox, fence, changes, run: None, notices: Vec::new(), result: b"{}"[..].into() })
        .await
        .unwrap();
}

/// The names on all pages of this size.
async fn pages(store: &dyn Requests, registry: &str, filter: &EntryFilter, limit: u32) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.find_entries(registry, filter, after.as_deref(), limit).await.unwrap();
        assert!(page.entries.len() <= limit as usize);
        names.extend(page.entries.into_iter().map(|found| found.entry.entry));
        match page.next {
            Some(next) => after = Some(next),
            None => return names,
        }
    }
}

#[tokio::test]
async fn entries_are_read_a_page_at_a_time_by_their_names() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        let names = ["a", "ab", "b", "b\u{10ffff}", "c%_", "ü", "日本"];
        let entries: Vec<_> = names.iter().map(|name| (*name, Some(json!({"n": name})))).collect();
        world.write("parts", &entries).await;
        world.write("parts", &[("ab", None)]).await;
        world.write("others", &[("a", Some(json!({})))]).await;
        let all: Vec<&str> = names.into_iter().filter(|name| *name != "ab").collect();
        for limit in [1, 2, 100] {
            assert_eq!(pages(&*world.store, "parts", &EntryFilter::default(), limit).await, all, "{limit}");
        }
        let by = |prefix: &str, name: &str| EntryFilter {
            prefix: prefix.into(),
            name: name.into(),
            ..EntryFilter::default()
        };
        for (prefix, name, expected) in [
            ("b", "", &["b", "b\u{10ffff}"][..]),
            ("b\u{10ffff}", "", &["b\u{10ffff}"]),
            ("日", "", &["日本"]),
            ("", "本", &["日本"]),
            ("", "%", &["c%_"]),
            ("", "A", &[]),
            ("ü", "ü", &["ü"]),
        ] {
            assert_eq!(world.find(&by(prefix, name)).await, expected, "{prefix:?} {name:?}");
        }
        let registries = world.store.registries(None, 10).await.unwrap();
        let registries: Vec<_> = registries.iter().map(|found| (&*found.registry, found.entries)).collect();
        assert_eq!(registries, [("others", 1), ("parts", 6)]);
        assert_eq!(world.store.registries(Some("others"), 10).await.unwrap().len(), 1);
        let stored = world.store.stored_entry("parts", "ü").await.unwrap().unwrap();
        assert_eq!((stored.entry.version, stored.principal.as_deref()), (1, Some("key:ada")));
        assert!(stored.updated_ms > 1_700_000_000_000);
        assert_eq!(world.store.stored_entry("parts", "ab").await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn a_page_is_cut_where_it_has_looked_at_enough() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        let names: Vec<String> = (0..coafi::store::SCANNED_MAX + 500).map(|n| format!("{n:06}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (name.as_str(), Some(json!({})))).collect();
        world.write("parts", &entries).await;
        let filter = EntryFilter { name: "10499".into(), ..EntryFilter::default() };
        let first = world.store.find_entries("parts", &filter, None, 10).await.unwrap();
        assert_eq!((first.entries.len(), first.next.as_deref()), (0, Some("009999")));
        assert_eq!(world.find(&filter).await, ["010499"]);
    })
    .await;
}

#[tokio::test]
async fn a_page_is_cut_where_it_has_enough_data() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        let large = json!({"t": "x".repeat(usize::try_from(PAGE_CHARS_MAX).unwrap() / 2)});
        for name in ["a", "b", "c", "d"] {
            world.write("parts", &[(name, Some(large.clone())), ("a", Some(large.clone()))]).await;
        }
        let first = world.store.find_entries("parts", &EntryFilter::default(), None, 4).await.unwrap();
        assert_eq!((first.entries.len(), first.next.as_deref()), (2, Some("b")));
        assert_eq!(pages(&*world.store, "parts", &EntryFilter::default(), 4).await, ["a", "b", "c", "d"]);
        let versions = world.store.entry_history("parts", "a", None, 5).await.unwrap();
        assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [5, 4]);
    })
    .await;
}

#[tokio::test]
async fn history_has_every_version_once_the_newest_first() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        for n in 1..=5 {
            world.write("parts", &[("a", (n != 3).then(|| json!({"n": n})))]).await;
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = world.store.entry_history("parts", "a", before, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.version);
            // What is written meanwhile is on no page that comes.
            world.write("parts", &[("a", Some(json!({"n": 9})))]).await;
            seen.extend(page.into_iter().map(|version| (version.version, version.data)));
        }
        let expected: Vec<_> = (1..=5).rev().map(|n| (n, (n != 3).then(|| json!({"n": n})))).collect();
        assert_eq!(seen, expected);
        let newest = world.store.entry_history("parts", "a", None, 1).await.unwrap().remove(0);
        assert_eq!((newest.principal.as_deref(), &*newest.updated_by, &*newest.source), (Some("key:ada"), "h", "/s"));
    })
    .await;
}

#[tokio::test]
async fn entries_are_found_by_all_words_of_their_present_data() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        let data = |text: &str| Some(json!({"title": text}));
        world
            .write(
                "parts",
                &[
                    ("a", data("Left wing, approved")),
                    ("b", data("Right WING; Straße")),
                    ("c", Some(json!({"deep": [{"x": "wing \u{0} left"}], "n": 7}))),
                    ("d", data("it's \"quoted\" {braces} a,b \\ back")),
                    ("e", data("日本語 e\u{301}tage")),
                ],
            )
            .await;
        world.write("others", &[("z", data("left wing"))]).await;
        for (text, expected) in [
            ("wing", &["a", "b", "c"][..]),
            ("LEFT wing", &["a", "c"]),
            ("wing strasse", &["b"]),
            ("quoted braces", &["d"]),
            ("étage", &["e"]),
            ("日", &["e"]),
            ("7", &[]),
            ("title", &[]),
            ("wing wing", &["a", "b", "c"]),
        ] {
            assert_eq!(world.search(text).await, expected, "{text}");
        }
        world.write("parts", &[("a", data("tail")), ("c", None)]).await;
        assert_eq!(world.search("wing").await, ["b"]);
        assert_eq!(world.search("tail").await, ["a"]);
        let both = EntryFilter { name: "b".into(), words: words::asked("wing"), ..EntryFilter::default() };
        assert_eq!(world.find(&both).await, ["b"]);
        assert_eq!(world.store.index_entries(10).await, Ok(0), "all of it was indexed with the entries");
    })
    .await;
}

#[tokio::test]
async fn what_an_older_program_wrote_is_indexed_later() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        world.write("parts", &[("a", Some(json!({"t": "old"}))), ("b", Some(json!({"t": "same"})))]).await;
        execute(&world.url, "UPDATE registry_entry SET version = 2, data = '{\"t\":\"new\"}' WHERE entry = 'a'").await;
        execute(
            &world.url,
            "INSERT INTO registry_entry (registry, entry, version, data, updated_by) \
             VALUES ('parts', 'c', 1, '{\"t\":\"new\"}', 'h'), ('parts', 'd', 1, NULL, 'h')",
        )
        .await;
        assert_eq!(world.search("new").await, Vec::<String>::new());
        assert_eq!((world.store.index_entries(2).await, world.store.index_entries(2).await), (Ok(2), Ok(1)));
        assert_eq!(world.store.index_entries(2).await, Ok(0));
        assert_eq!(world.search("new").await, ["a", "c"]);
        assert_eq!(world.search("old").await, Vec::<String>::new());
        assert_eq!(world.search("same").await, ["b"]);
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_is_there_all_the_while_is_on_one_page_whatever_is_written() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        let names: Vec<String> = (0..200).map(|n| format!("k{:04}", n * 2)).collect();
        let entries: Vec<_> = names.iter().map(|name| (name.as_str(), Some(json!({"t": "word"})))).collect();
        world.write("parts", &entries).await;
        let (store, fence) = (Arc::clone(&world.store), world.fence.clone());
        let writer = tokio::spawn(async move {
            for n in 0..200 {
                let name = format!("k{:04}", n * 2 + 1);
                write(&*store, &fence, "parts", &[(&name, Some(json!({"t": "word"})))]).await;
                write(&*store, &fence, "parts", &[(&name, None), ("k0200", Some(json!({"t": "word again"})))]).await;
            }
        });
        let filter = EntryFilter { words: words::asked("word"), ..EntryFilter::default() };
        let mut rounds = 0;
        while !writer.is_finished() || rounds == 0 {
            let seen = pages(&*world.store, "parts", &filter, 7).await;
            let different: BTreeSet<&String> = seen.iter().collect();
            assert_eq!(different.len(), seen.len(), "none twice");
            assert!(names.iter().all(|name| different.contains(name)), "none is missing");
            rounds += 1;
        }
        writer.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn history_that_is_not_kept_is_found_and_deleted_and_the_present_stays() {
    on_every_address(|url| async move {
        let world = World::open(url).await;
        for n in 1..=4 {
            world.write("parts", &[("a", Some(json!({"n": n}))), ("b", (n < 4).then(|| json!({})))]).await;
        }
        world.write("others", &[("a", Some(json!({})))]).await;
        let outdated = async |versions: Option<u32>, age: Option<u64>, limit: u32| {
            let kept = HistoryKept { versions, age: age.map(Duration::from_secs) };
            world.store.outdated_versions("parts", kept, limit).await.unwrap()
        };
        let names = |found: &[coafi::store::StoredVersion]| -> Vec<String> {
            found.iter().map(|version| format!("{}{}", version.entry, version.version)).collect()
        };
        assert_eq!(names(&outdated(None, None, 100).await), [""; 0]);
        assert_eq!(names(&outdated(Some(2), None, 100).await), ["a1", "a2", "b1", "b2"]);
        assert_eq!(names(&outdated(Some(2), None, 3).await), ["a1", "a2", "b1"]);
        assert_eq!(names(&outdated(Some(1), None, 100).await).len(), 6, "the present one is not among them");
        assert_eq!(names(&outdated(None, Some(3_600), 100).await), [""; 0]);
        assert_eq!(names(&outdated(Some(2), Some(3_600), 100).await), [""; 0], "both have to be over");
        let gone = outdated(Some(2), None, 100).await;
        assert_eq!(world.store.delete_versions(&gone).await, Ok(4));
        assert_eq!(world.store.delete_versions(&gone).await, Ok(0), "again does nothing");
        assert_eq!(names(&outdated(Some(2), None, 100).await), [""; 0]);
        assert_eq!(names(&world.store.entry_history("parts", "a", None, 9).await.unwrap()), ["a4", "a3"]);
        assert_eq!(world.store.entry("parts", "a").await.unwrap().unwrap().version, 4);
    })
    .await;
}

#[tokio::test]
async fn old_entries_are_found_the_oldest_first_but_for_those_that_are_kept() {
    on_every_address(|url| async move {
        let world = World::open(url.clone()).await;
        let names = ["a", "b", "c", "d"];
        for name in names {
            world.write("parts", &[(name, Some(json!({"of": name})))]).await;
        }
        world.write("parts", &[("gone", Some(json!({}))), ("gone", None)]).await;
        world.write("others", &[("a", Some(json!({})))]).await;
        let long_ago = if url.starts_with("sqlite:") { "1000" } else { "to_timestamp(1000)" };
        for (at, name) in [(long_ago, "c"), (long_ago, "b")] {
            let age =
                format!("UPDATE registry_entry SET updated_at = {at} WHERE registry = 'parts' AND entry = '{name}'");
            execute(&url, age.leak()).await;
        }
        let old = async |before_ms: i64, kept: u32, limit: u32| -> Vec<String> {
            let found = world.store.unchanged_entries("parts", Unchanged { before_ms, kept }, limit).await.unwrap();
            found.into_iter().map(|version| version.entry).collect()
        };
        assert_eq!(old(1_000_000, 0, 9).await, [""; 0], "what is as old as that is not older");
        assert_eq!(old(1_001_000, 0, 9).await, ["b", "c"]);
        assert_eq!(old(i64::from(i32::MAX) * 1_000, 0, 9).await, ["b", "c", "a", "d"]);
        assert_eq!(old(i64::from(i32::MAX) * 1_000, 1, 9).await, ["b", "c", "a"]);
        assert_eq!(old(i64::from(i32::MAX) * 1_000, 1, 2).await, ["b", "c"]);
        assert_eq!(old(i64::from(i32::MAX) * 1_000, 4, 9).await, [""; 0]);
        assert_eq!(old(i64::from(i32::MAX) * 1_000, u32::MAX, 9).await, [""; 0]);
        let found =
            world.store.unchanged_entries("parts", Unchanged { before_ms: 1_001_000, kept: 0 }, 1).await.unwrap();
        assert_eq!((found[0].version, found[0].data.as_ref()), (1, Some(&json!({"of": "b"}))));
        assert_eq!((found[0].updated_ms, found[0].source.as_str()), (1_000_000, "/s"));

        let large = json!("x".repeat(usize::try_from(PAGE_CHARS_MAX).unwrap() * 3 / 4));
        for name in ["a", "b", "c"] {
            world.write("large", &[(name, Some(large.clone()))]).await;
        }
        let unchanged = Unchanged { before_ms: i64::from(i32::MAX) * 1_000, kept: 0 };
        let found = world.store.unchanged_entries("large", unchanged, 9).await.unwrap();
        assert_eq!(found.len(), 2, "what is more than a page waits");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_needs_a_newer_program_is_refused() {
    on_every_address(|url| async move {
        World::open(url.clone()).await;
        execute(&url, "UPDATE store_needs SET migration = 9999").await;
        let error = open(&url, &Settings::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Other(_)), "{error}");
        let said = error.to_string();
        assert!(said.contains("a newer coafi") && said.contains("9999"), "{said}");
    })
    .await;
}
