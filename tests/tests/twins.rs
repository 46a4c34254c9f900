//! A process whose operating system returns the same random bytes each time.
//!
//! Two virtual machines that are restored from one snapshot start with the same memory. If the process had a
//! generator of its own, both would continue it and draw the same ids. So nothing but the bytes of the operating
//! system may be in an id. A library that is loaded before the C library replaces these bytes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use poem_session::{SessionId, store::LockOwner};

/// The byte that the replaced operating system returns.
const BYTE: u8 = 0xA7;

const LIBRARY: &str = "
#include <string.h>
#include <sys/types.h>

ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
    if (length > 0)
        memset(buffer, 0xA7, length);
    return length;
}
";

fn build_library(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("random.c"), directory.join("random.so"));
    fs::write(&source, LIBRARY).expect("a file");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("a C compiler, which the workspace needs anyway");
    assert!(built.success(), "{built}");
    library
}

/// Conformance 5.1
#[test]
fn ids_are_the_bytes_of_the_operating_system_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let library = build_library(directory.path());
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "the_process", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", library)
        .output()
        .expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "the child process of the other test"]
fn the_process() {
    // 32 bytes A7 as base64url.
    let expected = format!("{}p6c", "p6en".repeat(10));
    for _ in 0..3 {
        assert_eq!(SessionId::random().expose(), expected);
        let owner = LockOwner::random();
        assert_eq!(owner, LockOwner::new(u128::from_ne_bytes([BYTE; 16])));
    }
}
