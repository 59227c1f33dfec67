//! Workflows: what a run does next, given its definition, its state and what has just happened.
//!
//! A function of its inputs: no I/O, no clock, no randomness. Definitions are parsed from text ([`Definition::parse`]); a run is a
//! value ([`Run`]) that [`advance`] takes from one state to the next, with the commands that follow; what a step does is
//! computed ([`action`]) and carried out by others (`src/handlers/workflow`). It refuses to know topics' records, databases and
//! handlers.
//!
//! Kept here: a step is started once all that it comes `after` has succeeded, and is awaited under exactly one attempt number; a
//! result of any other attempt is refused ([`Refused`]), so that no effect is made twice; a run ends once.

mod action;
mod advance;
mod block;
mod calls;
mod definition;
mod definitions;
mod error;
mod generate;
mod listen;
mod mermaid;
mod notify;
mod parse;
mod path;
mod raw;
mod run;
mod scope;
mod settle;
mod template;
#[cfg(test)]
mod tests;
mod undo;
mod waiting;

pub use action::{Action, action};
pub use advance::{Advanced, Change, ChangeKind, Command, Input, Refused, advance, start, start_from};
pub use block::Block;
pub use definition::{
    Approval, Call, Case, Definition, Emit, ForEach, Kind, RegistryRead, RegistryUpdate, Retry, Step, Switch, Trigger,
    Validate, WaitFor,
};
pub use definitions::Definitions;
pub use error::DefinitionError;
pub use generate::{Format, Generate};
pub use mermaid::mermaid;
pub use parse::{Known, TEXT_BYTES_MAX};
pub use path::Path;
pub use run::{Fault, Run, RunStatus, StepState, StepStatus};
pub use scope::Scope;
pub use template::Template;
pub use waiting::{Awaited, Caller, HOPS_MAX, Origin, correlation};
