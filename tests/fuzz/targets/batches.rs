//! Fuzzes record sets; see `fuzz::records::batches`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::records::batches(data));
