//! `coafi-testcontainers`: the stack for development and tests, from the command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use coafi_testcontainers::{Ports, Stack, Started, runner};

#[derive(Parser)]
#[command(about = "Kafka, a schema registry and Postgres: in Docker where it answers, else as native processes")]
#[command(after_help = "COAFI_STACK=docker|native chooses how they run; COAFI_STACK_DIR where stacks are kept.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a stack and wait until it answers; one that runs is left alone.
    Up {
        #[command(flatten)]
        stack: Name,
        /// Kafka's port
        #[arg(long, default_value_t = 9092)]
        kafka_port: u16,
        /// The schema registry's port
        #[arg(long, default_value_t = 8081)]
        registry_port: u16,
        /// Postgres's port
        #[arg(long, default_value_t = 5432)]
        postgres_port: u16,
    },
    /// Stop a stack and remove its data.
    Down(Name),
    /// Say which services run and answer; exit code 1 unless all do.
    Status(Name),
    /// Print the shell lines that point COAFI at a stack: eval "$(coafi-testcontainers env)"
    Env(Name),
    /// Run a command against a stack of its own, which is gone afterwards, and end with its exit code.
    Run {
        /// The command, which finds COAFI_TEST_KAFKA, COAFI_TEST_REGISTRY and COAFI_TEST_POSTGRES in its environment
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct Name {
    /// The stack's name
    #[arg(long = "name", default_value = "dev")]
    name: String,
}

fn main() -> ExitCode {
    execute(Cli::parse().verb).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn execute(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Up { stack, kafka_port, registry_port, postgres_port } => {
            up(&stack.name, Ports { kafka: kafka_port, registry: registry_port, postgres: postgres_port })
        }
        Verb::Down(Name { name }) => {
            let stopped = Stack::named(&name)?.down()?;
            println!("stack {name} {}", if stopped { "is down" } else { "was not up" });
            Ok(ExitCode::SUCCESS)
        }
        Verb::Status(Name { name }) => status(&name),
        Verb::Env(Name { name }) => {
            print!("{}", Stack::named(&name)?.env()?);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { command } => match command.split_first() {
            Some((program, arguments)) => Ok(ExitCode::from(runner::run(program, arguments)?)),
            None => Ok(ExitCode::FAILURE),
        },
    }
}

fn up(name: &str, ports: Ports) -> Result<ExitCode> {
    let stack = Stack::named(name)?;
    match stack.up(ports)? {
        Started::Already => println!("stack {name} is already up:"),
        Started::Now => println!("stack {name} is up (logs and data in {}):", stack.directory().display()),
    }
    print!("{}", stack.env()?);
    let other = if name == "dev" { String::new() } else { format!(" NAME={name}") };
    println!("to point coafi at it in this shell: eval \"$(make -s env{other})\"");
    Ok(ExitCode::SUCCESS)
}

fn status(name: &str) -> Result<ExitCode> {
    let services = Stack::named(name)?.status()?;
    if services.is_empty() {
        println!("there is no stack {name}");
        return Ok(ExitCode::FAILURE);
    }
    for status in &services {
        let state = match (status.runs, status.answers) {
            (true, true) => "answers",
            (true, false) => "runs, but does not answer",
            (false, _) => "does not run",
        };
        println!("{:<10}{:<50}{state}", status.service.name(), status.address);
    }
    Ok(if services.iter().all(|status| status.runs && status.answers) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
