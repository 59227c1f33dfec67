//! What a file is, by its name.

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
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let Some(dot) = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
            return Self::Unknown;
        };
        match name[dot + 1..].to_ascii_lowercase().as_slice() {
            b"md" => Self::Markdown,
            b"yaml" | b"yml" => Self::YamlConfig,
            b"json" => Self::JsonData,
            _ => Self::Unknown,
        }
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
            (b"", FileType::Unknown),
        ] {
            assert_eq!(FileType::of(path), expected, "{}", String::from_utf8_lossy(path));
        }
    }
}
