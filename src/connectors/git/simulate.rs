//! Fills in what a hand-written git event leaves out, so that the five fields of a simulated commit are enough.

use std::path::Path;

use serde_json::{Value, json};

use super::{Address, Location};

/// Names a repository on this machine by its absolute URL, as the connector does: whoever handles the event runs in another
/// directory. A server's URL loses its credentials; what is no address at all stays as it is.
pub fn resolve(event_type: &str, data: &mut Value, base: &Path) {
    if !event_type.starts_with("git.") {
        return;
    }
    let Some(url) = data.get_mut("repositoryUrl") else { return };
    let address = url.as_str().and_then(|text| Address::parse(text, base).ok());
    match address {
        Some(Address { id, location: Location::Directory(_) }) => *url = Value::String(id.to_string()),
        Some(Address { location: Location::Remote(remote), .. }) => *url = Value::String(remote.url),
        Some(Address { location: Location::Unreadable { .. }, .. }) | None => {}
    }
}

/// Completes the data of a git event in place; what is there stays.
///
/// Of a commit: `author` and `committer` may be `Name <address>`, the committer is the author, the time is now, there are
/// no parents, and the changed files are to be read from the repository.
pub fn complete(event_type: &str, data: &mut Value, now_ms: i64) {
    let Some(members) = data.as_object_mut().filter(|_| event_type == "git.commit") else { return };
    let author = members.get("author").cloned().unwrap_or(Value::Null);
    members.entry("committer").or_insert(author);
    for name in ["author", "committer"] {
        if let Some(person) = members.get_mut(name)
            && let Some(text) = person.as_str()
        {
            let (name, email) = text.trim_end_matches('>').split_once('<').unwrap_or((text, ""));
            *person = json!({"name": name.trim(), "email": email.trim()});
        }
    }
    members.entry("parents").or_insert_with(|| json!([]));
    members.entry("committedAt").or_insert_with(|| json!(now_ms));
    if !members.contains_key("changedFiles") {
        members.insert("changedFiles".to_owned(), json!([]));
        members.entry("changedFilesTruncated").or_insert(Value::Bool(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_repository_is_named_absolutely() {
        for (url, expected) in [
            (".", "file:///srv/team"),
            ("../other/.git", "file:///srv/other"),
            ("/srv/a b", "file:///srv/a%20b"),
            ("file:///srv/x/", "file:///srv/x"),
            ("https://token@h/r.git", "https://h/r.git"),
            ("", ""),
        ] {
            let mut data = json!({"repositoryUrl": url});
            resolve("git.push", &mut data, Path::new("/srv/team"));
            assert_eq!(data, json!({"repositoryUrl": expected}), "{url}");
        }
        let mut other = json!({"repositoryUrl": "."});
        resolve("ai.run.started", &mut other, Path::new("/srv/team"));
        assert_eq!(other, json!({"repositoryUrl": "."}));
    }

    #[test]
    fn five_fields_are_enough() {
        let mut data =
            json!({"commitSha": "a1", "repositoryUrl": "r", "branch": "b", "author": "Ada <a@b>", "message": "m"});
        complete("git.commit", &mut data, 7);
        let ada = json!({"name": "Ada", "email": "a@b"});
        assert_eq!((&data["author"], &data["committer"], &data["committedAt"]), (&ada, &ada, &json!(7)));
        assert_eq!((&data["changedFiles"], &data["changedFilesTruncated"]), (&json!([]), &json!(true)));
        let mut other = json!({"tag": "v1"});
        complete("git.tag", &mut other, 7);
        assert_eq!(other, json!({"tag": "v1"}));
    }
}
