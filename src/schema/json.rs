//! JSON Schemas, chosen by file type and path pattern.

/// The compiled schemas of the configuration.
#[derive(Debug, Default)]
pub struct JsonSchemas;
