//! What a client sends after its login: it is read or refused, however it is cut into pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::fuzzing::listen;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, sent)) = bytes.split_first() else {
        return;
    };
    let (front, back) = sent.split_at(usize::from(*first) % (sent.len() + 1));
    assert_eq!(listen([front, back]), listen([sent]));
});
