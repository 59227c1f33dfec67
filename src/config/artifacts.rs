//! Where generated documents go.

use std::path::PathBuf;

use super::Endpoint;
use super::section::Section;

/// A directory or an S3 bucket. S3's credentials, region and endpoint come from the usual `AWS_…` variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artifacts {
    Directory(PathBuf),
    S3 {
        bucket: String,
        /// Without slashes at its ends; empty for the bucket's root.
        prefix: String,
    },
}

impl Artifacts {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::Directory(".coafi/artifacts".into());
        let allowed = "a directory, file:///directory, or s3://bucket/prefix";
        section.parsed("url", default, allowed, Self::parse, Self::to_string)
    }

    fn parse(text: &str) -> Option<Self> {
        if !text.contains("://") {
            return (!text.is_empty()).then(|| Self::Directory(text.into()));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return path.starts_with('/').then(|| Self::Directory(path.into()));
        }
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let url = Endpoint::parse(text)?;
        let plain = !bucket.is_empty() && !bucket.contains('@') && !url.has_password();
        plain.then(|| Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl std::fmt::Display for Artifacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Self::Directory(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_buckets_are_told_apart() {
        for text in [".coafi/artifacts", "file:///var/lib/coafi", "s3://bucket", "s3://bucket/a/b"] {
            assert_eq!(Artifacts::parse(text).map(|a| a.to_string()).as_deref(), Some(text));
        }
        for text in ["", "file://relative", "s3://", "s3://key:secret@bucket/x", "ftp://host/x"] {
            assert_eq!(Artifacts::parse(text), None, "{text:?}");
        }
    }
}
