//! One changed file: read, validated, and for valid Markdown turned into a page.

use object_store::ObjectStore;
use serde_json::Value;

use super::artifact;
use super::files::CommitFiles;
use super::markdown::{self, Document, MAX_HTML_BYTES};
use super::problems::Problems;
use super::report::{FileResult, GenerationResult, ValidationResult, status_name};
use super::{Blob, ChangeStatus, ChangedFile, EntryType, MAX_FILE_BYTES, json, links, off_thread, yaml};
use crate::dispatch::Failure;
use crate::schema::FileType;
use crate::schema::json::JsonSchemas;

/// What checking a file needs.
pub(super) struct Checker<'a> {
    pub(super) files: &'a dyn CommitFiles,
    pub(super) schemas: &'a JsonSchemas,
    pub(super) artifacts: &'a dyn ObjectStore,
    pub(super) repository: &'a str,
}

/// A file's result, and what the registry keeps besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checked {
    pub(super) result: FileResult,
    pub(super) title: Option<String>,
}

/// What validation found in a file's content.
#[derive(Default)]
struct Content {
    problems: Problems,
    title: Option<String>,
    /// A page to be written.
    html: Option<String>,
    skipped: Option<String>,
}

impl Content {
    fn invalid(problem: impl std::fmt::Display) -> Self {
        let mut content = Self::default();
        content.problems.add(0, problem);
        content
    }
}

impl Checker<'_> {
    /// # Errors
    /// Only what is nobody's fault but the world's (repository, artifact store): an invalid file is a result.
    pub(super) async fn check(&self, file: &ChangedFile) -> Result<Checked, Failure> {
        let file_type = match file.kind {
            EntryType::File | EntryType::Executable => FileType::of(&file.path),
            // Neither has content of its own, whatever it is called.
            EntryType::Symlink | EntryType::Submodule => FileType::Unknown,
        };
        let content = match (file.status, file.kind) {
            (ChangeStatus::Deleted, _) | (_, EntryType::Submodule) => Content::default(),
            (_, EntryType::Symlink) => self.symlink(&file.path).await?,
            _ if !FileType::is_tracked(&file.path) => Content::default(),
            _ => self.content(file_type, &file.path).await?,
        };
        let generation_result = self.generate(&file.path, content.html, content.skipped).await?;
        let errors = content.problems.into_messages();
        Ok(Checked {
            title: content.title,
            result: FileResult {
                path: String::from_utf8_lossy(&file.path).into_owned(),
                status: status_name(file.status).to_owned(),
                old_path: file.old_path.as_ref().map(|path| String::from_utf8_lossy(path).into_owned()),
                file_type,
                validation_result: ValidationResult { valid: errors.is_empty(), errors },
                generation_result,
            },
        })
    }

    async fn content(&self, file_type: FileType, path: &[u8]) -> Result<Content, Failure> {
        let bytes = match self.files.blob(path, MAX_FILE_BYTES).await? {
            Blob::Text(bytes) => bytes,
            Blob::TooLarge { size } => {
                return Ok(Content::invalid(format_args!("file has {size} bytes; at most {MAX_FILE_BYTES} are allowed")));
            }
            Blob::Binary { .. } => return Ok(Content::invalid("file is binary")),
            // The commit says that it changed, its tree says that it is not there: the repository contradicts itself.
            Blob::Missing | Blob::Symlink(_) | Blob::Submodule(_) => {
                return Ok(Content::invalid("file is not in the commit's tree"));
            }
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                return Ok(Content::invalid(format_args!("file is not UTF-8 at byte {at}")));
            }
        };
        match file_type {
            FileType::Markdown => self.markdown(path, text).await,
            FileType::YamlConfig => Ok(self.yaml(path, text).await),
            FileType::JsonData => Ok(self.json(path, text).await),
            FileType::Unknown => Ok(self.specification(path, text).await),
        }
    }

    async fn markdown(&self, path: &[u8], text: String) -> Result<Content, Failure> {
        let size = text.len();
        let parse = move || {
            let mut problems = Problems::default();
            let document = Document::parse(&text, &mut problems);
            (text, document, problems)
        };
        let (text, document, mut problems) = off_thread(size, parse).await;
        let front_matter = Value::Object(document.front_matter.clone().unwrap_or_default());
        let broken = document.body > 0 && document.front_matter.is_none();
        if !broken {
            self.schema(path, &front_matter, "front matter: ", &mut problems);
        }
        links::check(self.files, path, &document, &mut problems).await?;
        let title = document.title();
        if !problems.is_empty() {
            return Ok(Content { problems, title, ..Content::default() });
        }
        let name = String::from_utf8_lossy(path).into_owned();
        let html = off_thread(text.len(), move || markdown::render(&text, &document, &name)).await;
        let skipped = html.is_none().then(|| format!("the page would be larger than {MAX_HTML_BYTES} bytes"));
        Ok(Content { problems, title, html, skipped })
    }

    async fn yaml(&self, path: &[u8], text: String) -> Content {
        let size = text.len();
        let parse = move || {
            let mut problems = Problems::default();
            (yaml::parse(&text, 1, &mut problems), problems)
        };
        let (documents, mut problems) = off_thread(size, parse).await;
        let documents = documents.unwrap_or_default();
        for (index, document) in documents.iter().enumerate() {
            let place = if documents.len() > 1 { format!("document {}: ", index + 1) } else { String::new() };
            self.schema(path, document, &place, &mut problems);
        }
        Content { problems, ..Content::default() }
    }

    /// Read as YAML, of which JSON is a part, where somebody has a schema for it; else any text is good.
    async fn specification(&self, path: &[u8], text: String) -> Content {
        if self.schemas.has_rule(&String::from_utf8_lossy(path)) {
            self.yaml(path, text).await
        } else {
            Content::default()
        }
    }

    async fn json(&self, path: &[u8], text: String) -> Content {
        let size = text.len();
        let parse = move || {
            let mut problems = Problems::default();
            (json::parse(&text, &mut problems), problems)
        };
        let (value, mut problems) = off_thread(size, parse).await;
        if let Some(value) = value {
            self.schema(path, &value, "", &mut problems);
        }
        Content { problems, ..Content::default() }
    }

    /// Not followed: its target has to be something in this commit, as if it were a link.
    async fn symlink(&self, path: &[u8]) -> Result<Content, Failure> {
        let target = match self.files.blob(path, MAX_FILE_BYTES).await? {
            Blob::Symlink(target) => target,
            Blob::TooLarge { .. } => return Ok(Content::invalid("the symbolic link's target is too long to be a path")),
            _ => return Ok(Content::invalid("symbolic link is not in the commit's tree")),
        };
        let shown = super::problems::shorten(&String::from_utf8_lossy(&target), 120);
        let base = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
        let inside = if target.starts_with(b"/") { None } else { links::join(base, &target) };
        Ok(match inside {
            None => Content::invalid(format_args!("symbolic link to {shown:?} leads out of the repository")),
            Some(inside) if !links::resolves(self.files, &inside).await? => {
                Content::invalid(format_args!("symbolic link to {shown:?} does not resolve at this commit"))
            }
            Some(_) => Content::default(),
        })
    }

    fn schema(&self, path: &[u8], value: &Value, place: &str, problems: &mut Problems) {
        let path = String::from_utf8_lossy(path);
        for error in self.schemas.validate(&path, value).unwrap_or_default() {
            problems.add(0, format_args!("{place}{error}"));
        }
    }

    async fn generate(
        &self,
        path: &[u8],
        html: Option<String>,
        skipped: Option<String>,
    ) -> Result<Option<GenerationResult>, Failure> {
        let Some(html) = html else { return Ok(skipped.map(|skipped| GenerationResult::Skipped { skipped })) };
        let artifact = artifact::page(self.repository, path, &html);
        artifact.write(self.artifacts, html).await?;
        Ok(Some(GenerationResult::Generated(artifact)))
    }
}
