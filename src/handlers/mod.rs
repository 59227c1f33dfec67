//! Handlers: one file each. A new handler is a new file here that submits a [`Registration`]; nothing lists them.
//!
//! [`Registration`]: crate::dispatch::Registration

automod::dir!(pub "src/handlers");
