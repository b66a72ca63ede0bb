//! Runs one target under libFuzzer: the one that `FUZZ_TARGET` names.
#![no_main]

mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = targets::TARGETS.map(|(name, _)| name);
    let found = targets::TARGETS.into_iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET={wanted:?} is none of {names:?}")).1
});

fuzz_target!(|bytes: &[u8]| (*TARGET)(bytes));
