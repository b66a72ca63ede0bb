//! The Java client of `tests/client`.

use std::{path::Path, process::Command};

/// Runs it.
pub(crate) fn java() -> Command {
    let jar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/target/kudu-pair-client.jar");
    assert!(jar.is_file(), "{} is not there: make test-client makes it", jar.display());
    let mut java = Command::new("java");
    java.arg("-jar").arg(jar);
    java
}
