#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| poem_session_properties::DERIVE.hold(input));
