//! The command line: `coafi <noun> <verb>`, one file per noun.

mod answer;
pub mod schemas;
pub mod topics;

pub use answer::Answer;
