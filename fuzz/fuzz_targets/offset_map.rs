#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coafi::fuzzing::run("offset_map", bytes));
