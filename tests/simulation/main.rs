//! The engine in a seeded world with virtual time.
