//! What other software and people read and write, byte for byte; and what other versions of this program do.
mod cli;
mod formats;
mod openapi;
mod wire_format;
