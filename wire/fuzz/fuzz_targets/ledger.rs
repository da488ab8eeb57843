#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ledger = wire::ledger::decode(data);
    assert_eq!(wire::ledger::decode(&wire::ledger::encode(&ledger)), ledger);
});
