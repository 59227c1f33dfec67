//! Other ecosystems read our topics: tools that we did not write, on topics that the real `coafi` wrote to a real Kafka.
//!
//! Confluent's Python client with fastavro, the CloudEvents and OpenTelemetry SDKs and kcat read every topic; Apache Kafka's
//! own tools understand our commits and reset them; Spring Kafka, Kafka Streams and Kafka Connect read our dead letters; Schemathesis
//! sends requests to the API, and an OpenID provider signs tokens for it; moto is an S3 store. Servers of every kind prove by TLS who
//! they are.
//! `scripts/setup ecosystem` brings all of them.

#![allow(clippy::disallowed_methods, reason = "test harness: bounded waits and threads that read a process' output")]

mod acls;
mod authority;
mod dead_letters;
mod edges;
mod envelopes;
mod groups;
mod handlers;
mod notifications;
mod oidc;
mod openapi;
mod page;
mod terminator;
mod tls;
mod tools;
mod topics;

// The worlds of the product's tests, of which these here need a part.
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/event.rs"]
mod event;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/http.rs"]
mod http;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/journal.rs"]
mod journal;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/process.rs"]
mod process;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/notifications/receiver.rs"]
mod receiver;
#[path = "../support/repositories.rs"]
mod repositories;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/stack.rs"]
mod stack;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/topic.rs"]
mod topic;
#[allow(dead_code, reason = "the product's tests use the rest")]
#[path = "../product/world.rs"]
mod world;
