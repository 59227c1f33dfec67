//! Handlers: one file each. A new file here is a new handler; no list names it (see [`crate::dispatch::Registration`]).

automod::dir!(pub "src/handlers");
