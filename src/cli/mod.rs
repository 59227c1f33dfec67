//! The command line: one file per noun.

pub mod event;
pub mod routes;
