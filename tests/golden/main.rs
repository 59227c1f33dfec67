//! What other software reads and writes, byte for byte.
