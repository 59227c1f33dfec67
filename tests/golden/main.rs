//! What other software and people read and write, byte for byte.
mod cli;
mod wire_format;
