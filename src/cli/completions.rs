//! `coafi completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Failure};

/// Write a shell's completion script to stdout.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi completions bash > /etc/bash_completion.d/coafi
  source <(coafi completions zsh)

Exit codes: 0 written, 1 stdout takes no more, 2 there is no such shell here.")]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "coafi", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(Exit::Ok)
    }
}
