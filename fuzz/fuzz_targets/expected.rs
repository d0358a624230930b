//! Expected outputs: what came equals one of them, or differs from it in a way that can be shown. A line `====` stands
//! between the two.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgbraid::isolation::Expected;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // of this process, since several may run
    let folder = std::env::temp_dir().join(format!("fuzzed-by-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
});

const BETWEEN: &[u8] = b"\n====\n";

fuzz_target!(|outputs: &[u8]| {
    let Some(at) = outputs.windows(BETWEEN.len()).position(|window| window == BETWEEN) else {
        return;
    };
    let (expected, actual) = (&outputs[..at], &outputs[at + BETWEEN.len()..]);
    std::fs::write(FOLDER.join("fuzzed.out"), expected).expect("a temporary file");
    let read = Expected::read(&FOLDER, "fuzzed").expect("an expected output");
    let mismatch = read.mismatch(actual);
    assert_eq!(mismatch.is_none(), expected == actual);
});
