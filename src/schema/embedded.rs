//! The files of `avro/`, `topics/`, `workflows/` and `schemas/` as they were when this was built (`build.rs` collects them).

mod generated {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub(crate) use generated::*;

/// Name and text of every file of `topics/`, in order of their names.
#[must_use]
pub fn topic_files() -> &'static [(&'static str, &'static str)] {
    TOPICS
}

/// Name and text of every file of `workflows/`, in order of their names.
#[must_use]
pub fn workflow_files() -> &'static [(&'static str, &'static str)] {
    WORKFLOWS
}

/// Name and text of every file of `schemas/`, in order of their names.
#[must_use]
pub fn json_schema_files() -> &'static [(&'static str, &'static str)] {
    JSON_SCHEMAS
}

/// Name and text of every file of `schemas/api/`, in order of their names.
#[must_use]
pub fn api_schema_files() -> &'static [(&'static str, &'static str)] {
    API_SCHEMAS
}
