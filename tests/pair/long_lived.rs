//! The Java client of `tests/client`: one process with one client that goes on while the masters under it are lost.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::kudu::{self, Home};

/// A client that creates, renames and drops tables, and keeps a history of what it was told.
pub(crate) struct LongLived {
    process: Child,
    master: String,
    folder: tempfile::TempDir,
}

impl LongLived {
    /// Starts one, and waits until it is answered.
    pub(crate) fn start(client: &Home) -> Self {
        let (master, folder) = (client.address.to_string(), tempfile::tempdir().expect("a folder"));
        let process = java()
            .args(["watch", "--kinds=create", "--rename-every=3", "--drop-every=2", "--interval-ms=100", "--quiet"])
            .arg("--buckets=1")
            .arg(format!("--master={master}"))
            .arg(format!("--history={}", folder.path().join("history").display()))
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("stderr")).expect("a log"))
            .spawn()
            .expect("java");
        let client = Self { process, master, folder };
        kudu::wait_for("the Java client's first table", || client.history().contains("\"ok\""));
        client
    }

    /// Ends it, and checks that what it was told is so: nothing that was created and not dropped is missing, and nothing that was
    /// dropped or renamed is back.
    pub(crate) fn stop_and_verify(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("a process");
        assert!(self.process.wait().expect("java").success(), "{}", self.said());
        let mut verify = java();
        verify.arg("verify").arg(format!("--master={}", self.master)).arg("--history").arg(self.path("history"));
        let output = verify.output().expect("java");
        let found = String::from_utf8_lossy(&output.stdout);
        println!("the long-lived client's {} operations, verified:\n{found}", self.history().lines().count());
        assert!(output.status.success(), "{found}{}", String::from_utf8_lossy(&output.stderr));
    }

    fn history(&self) -> String {
        std::fs::read_to_string(self.path("history")).unwrap_or_default()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for LongLived {
    fn drop(&mut self) {
        // It is gone already, unless the test fails.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn java() -> Command {
    let jar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/target/kudu-pair-client.jar");
    assert!(jar.is_file(), "this test needs {}: make test-client builds it", jar.display());
    let mut java = Command::new("java");
    java.arg("-jar").arg(jar);
    java
}
