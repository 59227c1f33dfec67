//! What the handler says about files, and how that stays within a record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connectors::git::ChangeStatus;
use crate::dispatch::Step;
use crate::dispatch::artifact::Artifact;
use crate::schema::FileType;

/// JSON bytes of single file results in one outcome. Each is there twice, in the data and as a step, and an outcome record
/// is at most 60,000 bytes (`bitt`): what did not fit there would become a digest. What is left out is in the summary's
/// numbers, and all of it in the registry.
pub(super) const MAX_OUTCOME_BYTES: usize = 16 * 1024;
/// JSON bytes of single file results in the derived event.
pub(super) const MAX_EVENT_BYTES: usize = 128 * 1024;

/// The result for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileResult {
    /// Bytes that are not UTF-8 are replaced.
    pub path: String,
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_path: Option<String>,
    pub file_type: FileType,
    pub validation_result: ValidationResult,
    pub generation_result: Option<GenerationResult>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationResult {
    pub valid: bool,
    /// `line N: message`; at most 20, and a count of the rest.
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GenerationResult {
    Generated(Artifact),
    /// Why a valid document has no page.
    Skipped {
        skipped: String,
    },
}

impl FileResult {
    /// Members of the `FILE_PROCESSED` step.
    fn step(&self, commit_sha: &str) -> Value {
        json!({
            "filePath": self.path,
            "commitSha": commit_sha,
            "fileType": self.file_type,
            "validation": self.validation_result.valid,
            "generation": matches!(self.generation_result, Some(GenerationResult::Generated(_))),
        })
    }
}

/// Numbers over all files of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// By [`FileType::name`]; deleted files are not counted, for nothing of theirs was validated.
    pub files: BTreeMap<String, Validity>,
    pub deleted: u32,
    pub artifacts: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    pub valid: u32,
    pub invalid: u32,
}

impl Summary {
    #[must_use]
    fn of(results: &[FileResult]) -> Self {
        let mut summary = Self::default();
        for result in results {
            if result.status == status_name(ChangeStatus::Deleted) {
                summary.deleted += 1;
                continue;
            }
            let validity = summary.files.entry(result.file_type.name().to_owned()).or_default();
            if result.validation_result.valid {
                validity.valid += 1;
            } else {
                validity.invalid += 1;
            }
            summary.artifacts += u32::from(matches!(result.generation_result, Some(GenerationResult::Generated(_))));
        }
        summary
    }
}

/// File results as JSON: the first that fit, in order of their paths, and numbers over all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bounded {
    pub(super) file_results: Vec<Value>,
    pub(super) omitted: usize,
    pub(super) summary: Summary,
}

impl Bounded {
    pub(super) fn of(results: &[FileResult], max_bytes: usize) -> Self {
        let mut file_results = Vec::new();
        let mut bytes = 0;
        for result in results {
            let value = serde_json::to_value(result).expect("strings, numbers and lists are JSON");
            bytes += value.to_string().len();
            if bytes > max_bytes {
                break;
            }
            file_results.push(value);
        }
        let omitted = results.len() - file_results.len();
        Self { file_results, omitted, summary: Summary::of(results) }
    }

    /// The outcome's `data`.
    pub(super) fn data(&self) -> Value {
        json!({ "fileResults": self.file_results, "filesOmitted": self.omitted, "summary": self.summary })
    }
}

/// `FILE_PROCESSED` for each of the files that were kept, and one more with numbers where there are others.
pub(super) fn steps(results: &[FileResult], commit_sha: &str, kept: &Bounded) -> Vec<Step> {
    let step = |detail| Step { kind: "FILE_PROCESSED".to_owned(), detail };
    let mut steps: Vec<Step> =
        results.iter().take(kept.file_results.len()).map(|result| step(result.step(commit_sha))).collect();
    if kept.omitted > 0 {
        let detail = json!({ "commitSha": commit_sha, "filesOmitted": kept.omitted, "summary": kept.summary });
        steps.push(step(detail));
    }
    steps
}

/// The status in results, as in the event's payload.
pub(super) const fn status_name(status: ChangeStatus) -> &'static str {
    match status {
        ChangeStatus::Added => "added",
        ChangeStatus::Modified => "modified",
        ChangeStatus::Deleted => "deleted",
        ChangeStatus::Renamed => "renamed",
        ChangeStatus::TypeChanged => "typechange",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(number: usize, valid: bool, status: ChangeStatus) -> FileResult {
        FileResult {
            path: format!("docs/{number}.md"),
            status: status_name(status).to_owned(),
            old_path: None,
            file_type: FileType::Markdown,
            validation_result: ValidationResult { valid, errors: vec!["line 1: x".repeat(20); 20] },
            generation_result: None,
        }
    }

    #[test]
    fn ten_thousand_files_fit_and_are_all_counted() {
        let mut results: Vec<_> = (0..10_000).map(|n| result(n, n % 2 == 0, ChangeStatus::Added)).collect();
        results.push(result(10_000, true, ChangeStatus::Deleted));
        let bounded = Bounded::of(&results, MAX_OUTCOME_BYTES);
        assert!(bounded.data().to_string().len() < MAX_OUTCOME_BYTES + 1_024);
        assert_eq!(bounded.omitted + bounded.file_results.len(), results.len());
        assert!(bounded.omitted > 0);
        let steps = steps(&results, "c0ffee", &bounded);
        assert_eq!(steps.len(), bounded.file_results.len() + 1);
        assert_eq!(steps.last().unwrap().detail["filesOmitted"], bounded.omitted);
        assert_eq!(bounded.summary.files["markdown"], Validity { valid: 5_000, invalid: 5_000 });
        assert_eq!(bounded.summary.deleted, 1);
    }

    #[test]
    fn a_result_reads_as_the_requirements_name_it() {
        let mut result = result(1, true, ChangeStatus::Modified);
        result.validation_result.errors.clear();
        result.generation_result = Some(GenerationResult::Generated(super::super::artifact::page("r", b"docs/1.md", "x")));
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(json["fileType"], "markdown");
        assert_eq!(json["validationResult"], json!({"valid": true, "errors": []}));
        assert_eq!(json["generationResult"]["bytes"], 1);
        assert_eq!(serde_json::from_value::<FileResult>(json).unwrap(), result);
        assert_eq!(result.step("c0ffee")["generation"], true);
    }
}
