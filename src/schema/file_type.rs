//! What a file is, by its name: for handlers and for the choice of a JSON Schema.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    Markdown,
    YamlConfig,
    JsonData,
    Unknown,
}

impl FileType {
    pub const ALL: [Self; 4] = [Self::Markdown, Self::YamlConfig, Self::JsonData, Self::Unknown];

    /// By the extension, in any case; `.md` alone is a hidden file without one.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        match extension(path).as_deref() {
            Some(b"md") => Self::Markdown,
            Some(b"yaml" | b"yml") => Self::YamlConfig,
            Some(b"json") => Self::JsonData,
            _ => Self::Unknown,
        }
    }

    /// Whether the registry of documents has it: files of a known type, and specifications (`.spec`). What the latter are
    /// written in is nobody's rule, so they have no type of their own and are validated only where a JSON Schema is
    /// configured for their path.
    #[must_use]
    pub fn is_tracked(path: &[u8]) -> bool {
        Self::of(path) != Self::Unknown || extension(path).is_some_and(|extension| extension == b"spec")
    }

    /// The name in results, audit records and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::YamlConfig => "yaml_config",
            Self::JsonData => "json_data",
            Self::Unknown => "unknown",
        }
    }
}

/// What follows a name's last dot, in lower case; a name that only begins with a dot has none.
fn extension(path: &[u8]) -> Option<Vec<u8>> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    Some(name[dot + 1..].to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        for (path, expected) in [
            (&b"README.md"[..], FileType::Markdown),
            (b"docs/GUIDE.MD", FileType::Markdown),
            (b"a.b.yaml", FileType::YamlConfig),
            (b".github/x.yml", FileType::YamlConfig),
            (b"package.json", FileType::JsonData),
            (b"\xff.json", FileType::JsonData),
            (b"dir.md/file", FileType::Unknown),
            (b".md", FileType::Unknown),
            (b"README", FileType::Unknown),
            (b"a.mdx", FileType::Unknown),
            (b"api.spec", FileType::Unknown),
            (b"", FileType::Unknown),
        ] {
            assert_eq!(FileType::of(path), expected, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn specifications_are_tracked_too() {
        for (path, expected) in
            [(&b"docs/api.SPEC"[..], true), (b"a.md", true), (b".spec", false), (b"spec", false), (b"main.rs", false)]
        {
            assert_eq!(FileType::is_tracked(path), expected, "{}", String::from_utf8_lossy(path));
        }
    }
}
