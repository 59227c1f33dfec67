//! The program itself, judged from outside: the real `coafi` against a real Kafka, schema registry and Postgres. What is
//! looked at is what anybody could look at: topics, exit codes, pages, logs, the database.
//!
//! Nothing may be lost, whatever comes in and whatever goes away: a record ends in exactly one place, with an outcome
//! record, and those behind it go on.

#![allow(clippy::disallowed_methods, reason = "test harness: bounded waits and threads that read a process' output")]

mod api;
mod artifacts;
mod bitt_trigger;
mod configuration;
mod dev;
mod dlq;
mod endpoints;
mod event;
mod fairness;
mod federated;
mod headers;
mod http;
mod jobs;
mod journal;
mod ledger;
mod load;
mod notifications;
mod outages;
mod own_types;
mod plan;
mod process;
mod readme;
mod recovery;
mod redaction;
mod reload;
mod replay;
mod replicas;
#[path = "../support/repositories.rs"]
mod repositories;
mod routes;
mod schedules;
mod shutdown;
mod sources;
mod stack;
mod standing;
mod terminal;
mod topic;
mod tour;
mod trace;
mod vacancies;
mod values;
mod verdict;
mod workflows;
mod world;
