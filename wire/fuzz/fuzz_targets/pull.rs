#![no_main]

use wire::push::{Headers, Secret};

// A gateway fetches a snapshot behind the headers of a push; its fetching worker holds a lease.
libfuzzer_sys::fuzz_target!(|data: (Option<&[u8]>, Option<&[u8]>, Option<&[u8]>, &[u8])| {
    let (time, sequence, signature, body) = data;
    if let Ok(headers) = Headers::parse(time, sequence, signature) {
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        assert!(secret.verify(&headers, body).is_err(), "a signature was guessed");
        let _ = wire::push::check(1 << 40, headers.stamp, Some(headers.stamp));
    }
    let lease = wire::pull::decode(body);
    assert_eq!(wire::pull::decode(&wire::pull::encode(lease)), lease);
});
