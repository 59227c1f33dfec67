//! What other software reads and writes, byte for byte.
mod wire_format;
