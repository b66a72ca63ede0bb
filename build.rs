//! Compiles the sync gate (`syncgate/`), which the program carries along and hands out beside the launcher.
//!
//! It is no crate of this build: it is a dynamic library without a C library, and all the rest is static. So the compiler is
//! called by itself, whatever cargo was asked to do and with whatever flags for the main crate.

use std::{env, path::PathBuf, process::Command};

/// The gate's own sources.
const SOURCES: [&str; 2] = ["syncgate/src/lib.rs", "syncgate/src/sys.rs"];
/// What it is called; `src/launcher/gate.rs` has the same name.
const LIBRARY: &str = "libkudu_pair_sync_gate.so";

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join(LIBRARY);
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-name", "kudu_pair_sync_gate", "--crate-type", "cdylib"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["-C", "panic=abort", "-C", "opt-level=2", "-C", "strip=debuginfo", "-D", "warnings"])
        .args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-nostartfiles"])
        .arg("-o")
        .arg(output)
        .arg(SOURCES[0]);
    let status = rustc.status().unwrap_or_else(|error| panic!("the compiler cannot be run: {error}"));
    assert!(status.success(), "the sync gate does not compile: {rustc:?}");
}
