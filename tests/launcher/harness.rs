//! A launcher of the real program over real Kudu, in a folder and at an address of its own.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use kudu_pair::clock::boot_ns;
use kudu_pair::launcher::{
    client::{LauncherClient, LauncherError},
    protocol::{LauncherStatus, MasterState, Request},
    reigns::{self, Reign},
};
use rustix::process::{Pid, Signal, kill_process};

/// Uuid of the pairs in these tests.
pub(crate) const UUID: &str = "0123456789abcdef0123456789abcdef";
/// How long anything may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A deadline that no test reaches.
pub(crate) const FAR: Duration = Duration::from_secs(240);

/// Flags that let kudu-master run on a machine without NTP, and start faster.
const TEST_FLAGS: [&str; 4] = [
    "--unlock_unsafe_flags",
    "--unlock_experimental_flags",
    "--time_source=system_unsync",
    "--ipki_server_key_size=1024",
];

/// The folder of Kudu's distribution: `KUDU_DIST`, else where `deploy/local/kudu-dist` puts it.
pub(crate) fn kudu_dist() -> PathBuf {
    if let Some(dist) = std::env::var_os("KUDU_DIST") {
        return PathBuf::from(dist);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local/kudu-dist");
    let output = Command::new(script).arg("1.18.1").output();
    match output {
        Ok(output) if output.status.success() => {
            PathBuf::from(String::from_utf8(output.stdout).expect("a path").lines().last().expect("a path"))
        }
        other => panic!("these tests need Kudu: set KUDU_DIST to a folder with bin/kudu-master ({other:?})"),
    }
}

/// Runs `kudu` with these arguments.
pub(crate) fn kudu(args: &[&str]) -> Result<String, String> {
    let dist = kudu_dist();
    let output = Command::new(dist.join("bin/kudu"))
        .args(args)
        .env("LD_LIBRARY_PATH", dist.join("lib"))
        .env("SASL_PATH", dist.join("lib/sasl2"))
        .output()
        .expect("kudu runs");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A member's folders and address. A launcher may come and go in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    host: String,
}

impl Place {
    /// A new one. Several runs of these tests may share the machine, so the address comes from the process id.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let host = format!("127.{}.{}.{}", 64 + high % 128, low, NEXT.fetch_add(1, Ordering::Relaxed));
        Self { folder: tempfile::tempdir().expect("a folder"), host }
    }

    pub(crate) fn rpc(&self) -> String {
        format!("{}:7051", self.host)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("launcher.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Names of what lies on the volumes, without the launcher's own files.
    pub(crate) fn on_volumes(&self) -> Vec<String> {
        let mut names: Vec<String> = ["wal", "data"]
            .iter()
            .flat_map(|volume| {
                let entries = fs::read_dir(self.path(volume)).expect("a volume");
                entries.map(move |entry| format!("{volume}/{}", entry.unwrap().file_name().to_string_lossy()))
            })
            .filter(|name| !name.ends_with("launcher.lock") && !name.ends_with(reigns::FILE))
            .collect();
        names.sort();
        names
    }

    /// What the launcher wrote down of its masters.
    pub(crate) fn reigns(&self) -> Vec<Reign> {
        let text = fs::read_to_string(self.path("wal").join(reigns::FILE)).expect("a record");
        text.lines().map(|line| serde_json::from_str(line).expect("a reign")).collect()
    }

    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        self.command_with(&[], flags)
    }

    fn command_with(&self, options: &[String], flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kudu-pair"));
        command
            .arg("launcher")
            .arg("--socket")
            .arg(self.socket())
            .arg("--wal-dir")
            .arg(self.path("wal"))
            .arg("--data-dir")
            .arg(self.path("data"))
            .arg("--kudu-bin-dir")
            .arg(kudu_dist().join("bin"))
            .args(options)
            .args(["--rpc-bind", &self.rpc(), "--"])
            .args(flags);
        command
    }

    /// Starts a launcher here.
    pub(crate) async fn launch(&self) -> Launcher {
        self.launch_with(&[]).await
    }

    /// Starts a launcher here with more flags of kudu-master.
    pub(crate) async fn launch_with(&self, flags: &[&str]) -> Launcher {
        self.spawn(self.command(&[&TEST_FLAGS, flags].concat())).await
    }

    /// Starts a launcher here with more options of its own.
    pub(crate) async fn launch_gated(&self, options: &[String]) -> Launcher {
        self.spawn(self.command_with(options, &TEST_FLAGS)).await
    }

    async fn spawn(&self, mut command: Command) -> Launcher {
        let log = |name| Stdio::from(File::options().create(true).append(true).open(self.path(name)).expect("a log"));
        let process = command.stdout(log("launcher.log")).stderr(log("kudu.log")).spawn().expect("a launcher");
        let mut launcher = Launcher { process, socket: self.socket() };
        let begin = Instant::now();
        while LauncherClient::connect(self.socket()).await.is_err() {
            let ended = launcher.process.try_wait().expect("a process");
            assert!(ended.is_none() && begin.elapsed() < PATIENCE, "the launcher does not come up: {ended:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        launcher
    }

    /// Formats a catalog and starts it in epoch 1.
    pub(crate) async fn serve(&self, launcher: &Launcher, lease: Duration) -> LauncherStatus {
        let mut client = launcher.client().await;
        client.call(format_request("gen-1")).await.expect("formatted");
        let status = client.call(start_request(1, "gen-1", lease)).await.expect("started");
        self.wait_until_serving();
        status
    }

    /// Waits until a client is answered. (Kudu's tools take no shorter timeout than this.)
    pub(crate) fn wait_until_serving(&self) {
        let begin = Instant::now();
        while let Err(error) = kudu(&["table", "list", &self.rpc(), "--timeout_ms=3000"]) {
            assert!(begin.elapsed() < PATIENCE, "kudu-master does not serve: {error}");
        }
    }
}

/// A running launcher.
pub(crate) struct Launcher {
    process: Child,
    socket: PathBuf,
}

impl Launcher {
    pub(crate) async fn client(&self) -> LauncherClient {
        LauncherClient::connect(&self.socket).await.expect("a launcher answers")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a process");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("a process")
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().signal(), Some(9));
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // It is gone already in tests that end it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn start_request(epoch: i64, generation: &str, lease: Duration) -> Request {
    Request::Start { epoch, generation: generation.to_owned(), deadline_boot_ns: Some(in_time(lease)) }
}

pub(crate) fn format_request(generation: &str) -> Request {
    Request::Format { generation: generation.to_owned(), uuid: UUID.to_owned() }
}

pub(crate) fn copy_request(generation: &str, from: &str) -> Request {
    Request::CopyBase {
        generation: generation.to_owned(),
        uuid: UUID.to_owned(),
        from: from.to_owned(),
        bytes_per_second: None,
    }
}

/// The reading of the boot-time clock after so long.
pub(crate) fn in_time(duration: Duration) -> u64 {
    boot_ns() + u64::try_from(duration.as_nanos()).expect("a short time")
}

/// The process of the master that runs.
pub(crate) fn pid(status: &LauncherStatus) -> Pid {
    match status.master {
        MasterState::Running { pid: Some(pid), .. } => Pid::from_raw(pid).expect("a pid"),
        ref other => panic!("no master runs: {other:?}"),
    }
}

/// Whether a process is there and not just waiting to be reaped.
pub(crate) fn lives(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

/// Waits until a process is gone, and returns when it was seen so on the boot-time clock.
pub(crate) fn wait_until_dead(pid: Pid) -> u64 {
    let begin = Instant::now();
    while lives(pid) {
        assert!(begin.elapsed() < PATIENCE, "process {pid:?} goes on");
        thread::sleep(Duration::from_millis(1));
    }
    boot_ns()
}

/// Asks until the status is as wanted.
pub(crate) async fn status_when(client: &mut LauncherClient, wanted: impl Fn(&MasterState) -> bool) -> LauncherStatus {
    let begin = Instant::now();
    loop {
        let status = client.call(Request::Status).await.expect("a status");
        if wanted(&status.master) {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "it stays so: {status:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The message of a refusal.
#[track_caller]
pub(crate) fn refused(result: Result<LauncherStatus, LauncherError>) -> String {
    match result {
        Err(LauncherError::Refused(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}
