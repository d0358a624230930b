//! What a server says: it is understood or refused, at the start of a session and after a request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::fuzzing::{Talk, hear};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, said)) = bytes.split_first() else {
        return;
    };
    let talk = match first % 3 {
        0 => Talk::Startup,
        1 => Talk::Replies,
        _ => Talk::Parts,
    };
    let _ = hear(talk, said).to_string();
});
