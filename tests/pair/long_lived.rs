//! The Java client of `tests/client`: one process with one client that goes on while the masters under it are lost.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::kudu::{self, Home};

/// A client that creates tables, and renames and drops them, and keeps a history of what it was told.
pub(crate) struct LongLived {
    process: Child,
    master: String,
    folder: tempfile::TempDir,
}

impl LongLived {
    /// Starts one, and waits until it is answered.
    pub(crate) fn start(client: &Home) -> Self {
        Self::start_with(client, &["--rename-every=3", "--drop-every=2"])
    }

    /// The same with these options of `watch`.
    pub(crate) fn start_with(client: &Home, options: &[&str]) -> Self {
        let (master, folder) = (client.address.to_string(), tempfile::tempdir().expect("a folder"));
        let process = java()
            .args(["watch", "--kinds=create", "--interval-ms=100", "--quiet"])
            .arg("--buckets=1")
            .args(options)
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

    /// What it did, one JSON document a line.
    fn history(&self) -> String {
        std::fs::read_to_string(self.path("history")).unwrap_or_default()
    }

    /// Waits until it is answered again, and returns the longest that any of its operations has taken.
    pub(crate) fn goes_on(&self) -> Duration {
        let answered = || self.records().filter(|record| record["outcome"] == "ok").count();
        let before = answered();
        kudu::wait_for("the Java client's next tables", || answered() >= before + 3);
        self.records()
            .filter_map(|record| record["duration_ms"].as_u64())
            .max()
            .map(Duration::from_millis)
            .unwrap_or_default()
    }

    /// The errors that it was shown.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.records().filter(|record| record["outcome"] != "ok").map(|record| record["error"].to_string()).collect()
    }

    fn records(&self) -> impl Iterator<Item = serde_json::Value> {
        let history = self.history();
        // The last line may still be written.
        let whole = history.rsplit_once('\n').map_or(String::new(), |(whole, _)| whole.to_owned());
        let records: Vec<serde_json::Value> =
            whole.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        // What only says that a change begins is no operation.
        records.into_iter().filter(|record| record["note"] != "begun")
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
