//! One member: a launcher and a sidecar as plain processes, and the files that they share.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use kudu_pair::{
    clock::boot_ns,
    failover::member::MemberReport,
    launcher::reigns::{self, Reign, ReignEvent},
    replication::Anchors,
    wal::{OpId, SYS_CATALOG_TABLET_ID},
    waldir::{read_log, stopped_log_dir},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{disk::SmallDisk, kudu};

/// How long anything may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Name of the pair in these tests.
pub(crate) const PAIR: &str = "demo";

/// Flags that let kudu-master run on a machine without NTP, and start faster; and flushes at once and often, which is
/// what makes a raw copy of the log lose data.
pub(crate) const MASTER_FLAGS: [&str; 6] = [
    "--unlock_unsafe_flags",
    "--unlock_experimental_flags",
    "--time_source=system_unsync",
    "--ipki_server_key_size=1024",
    "--flush_threshold_secs=1",
    "--maintenance_manager_polling_interval_ms=50",
];

/// Port of the sidecars' link.
const LINK_PORT: u16 = 7061;

/// Where a member's orders and Lease are, when not with `kudu-pair ctl`.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
    /// What stands in for the cluster's DNS: a file as `/etc/hosts` is.
    pub(crate) hosts: PathBuf,
}

/// A member of a pair.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) ip: Ipv4Addr,
    /// Where kudu-master serves: the same for all members, as the Service's address is.
    pub(crate) rpc: String,
    /// The folder of the Kudu that it runs.
    pub(crate) kudu: PathBuf,
    /// Flags of its kudu-master beside those that all members have.
    pub(crate) flags: Vec<String>,
    /// When it takes a new base, as in its configuration.
    pub(crate) refresh: serde_json::Value,
    /// What its sidecar keeps for standbys that are away.
    pub(crate) retention_bytes: u64,
    /// The uid of its pod, where there is an API server.
    pub(crate) pod_uid: String,
    launcher: Option<Process>,
    sidecar: Option<Process>,
    /// When this test saw the master of a launcher that it killed dead.
    deaths: Vec<(i32, u64)>,
    disk: Option<SmallDisk>,
    /// `replication` of its configuration, when it waits for its standbys.
    replication: Option<serde_json::Value>,
    /// Where it gets its orders from, when that is an API server.
    cluster: Option<Cluster>,
    // Last, since the disk is mounted in it.
    dir: tempfile::TempDir,
}

impl Member {
    /// The folders of a member; nothing runs yet.
    pub(crate) fn new(name: &'static str, rpc: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for volume in ["wal", "data"] {
            fs::create_dir(dir.path().join(volume)).expect("a volume");
        }
        Self {
            name,
            ip: kudu::loopback(),
            rpc: rpc.to_owned(),
            kudu: kudu::dist().to_owned(),
            flags: Vec::new(),
            refresh: serde_json::json!({}),
            retention_bytes: 64 * 1024 * 1024,
            pod_uid: format!("uid-of-{name}"),
            launcher: None,
            sidecar: None,
            deaths: Vec::new(),
            disk: None,
            replication: None,
            cluster: None,
            dir,
        }
    }

    /// Lets it take its orders and its Lease from an API server.
    pub(crate) fn join(&mut self, cluster: Cluster) {
        self.cluster = Some(cluster);
    }

    /// Makes it wait for its standbys as `replication` says, from its next start on; to be configured anew.
    pub(crate) fn make_synchronous(&mut self, replication: &serde_json::Value) {
        let status = program().arg("install").arg("--to").arg(self.path("kudu-pair")).status();
        assert!(status.expect("kudu-pair").success());
        self.replication = Some(replication.clone());
    }

    /// Puts the log on a small disk.
    pub(crate) fn use_small_disk(&mut self, megabytes: u32) -> &SmallDisk {
        self.disk.insert(SmallDisk::mount(&self.path("wal"), megabytes))
    }

    /// Puts the log on a block device of its own.
    pub(crate) fn use_block_disk(&mut self, megabytes: u64) {
        self.disk = Some(SmallDisk::mount_blocks(&self.path("wal"), &self.path("disk.img"), megabytes));
    }

    /// The small disk of the log.
    pub(crate) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a small disk")
    }

    /// A file of this member.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where its sidecar listens.
    pub(crate) fn link(&self) -> String {
        format!("{}:{LINK_PORT}", self.ip)
    }

    /// The files of a certificate, which a member that has been given one uses: authorities, certificate, key.
    pub(crate) fn certificate_files(&self) -> [PathBuf; 3] {
        ["ca.crt", "tls.crt", "tls.key"].map(|name| self.path(name))
    }

    /// Writes the sidecar's configuration.
    pub(crate) fn configure(&self, pair: &str, slaves: &[&Self], master: Option<&Self>) {
        self.configure_by(pair, slaves, master.map(|master| (master.link(), master)));
    }

    /// The same, with another address at which it finds its master's sidecar.
    pub(crate) fn configure_by(&self, pair: &str, slaves: &[&Self], master: Option<(String, &Self)>) {
        let slaves: serde_json::Map<_, _> =
            slaves.iter().map(|slave| (slave.name.to_owned(), slave.ip.to_string().into())).collect();
        let [ca, certificate, key] = self.certificate_files();
        let encrypts = key.exists();
        let config = serde_json::json!({
            "pair": pair,
            "plaintext": !encrypts,
            "tls": encrypts.then(|| serde_json::json!({ "ca": ca, "certificate": certificate, "key": key })),
            "member": self.name,
            "role": if master.is_some() { "standby" } else { "active" },
            "listen": self.link(),
            "reportListen": format!("{}:8061", self.ip),
            "slaves": slaves,
            "master": master.map(|(link, master)| serde_json::json!({ "link": link, "rpc": master.rpc })),
            "refresh": self.refresh,
            "retentionBytes": self.retention_bytes,
            "walDir": self.path("wal"),
            "dataDir": self.path("data"),
            "launcherSocket": self.path("launcher.sock"),
            "controlSocket": self.path("sidecar.sock"),
            "replication": self.replication.clone().unwrap_or_else(|| serde_json::json!({})),
            "syncGate": self.replication.as_ref().map(|_| self.path("gate.sock")),
        });
        // JSON is YAML.
        fs::write(self.path("config.yaml"), config.to_string()).expect("a configuration file");
    }

    /// Starts both, the launcher first.
    pub(crate) fn start(&mut self) {
        self.start_launcher();
        self.start_sidecar();
    }

    pub(crate) fn start_launcher(&mut self) {
        let mut command = self.program();
        command.arg("launcher");
        command.arg("--socket").arg(self.path("launcher.sock"));
        command.arg("--wal-dir").arg(self.path("wal")).arg("--data-dir").arg(self.path("data"));
        command.arg("--kudu-bin-dir").arg(self.kudu.join("bin"));
        if self.replication.is_some() {
            command.arg("--sync-gate").arg(self.path("libkudu_pair_sync_gate.so"));
            command.arg("--sync-gate-socket").arg(self.path("gate.sock"));
        }
        command.args(["--rpc-bind", &self.rpc, "--"]).args(MASTER_FLAGS).args(&self.flags);
        self.launcher = Some(self.spawn(command, "launcher.log", "kudu.log"));
    }

    pub(crate) fn start_sidecar(&mut self) {
        let command = self.sidecar_command();
        self.sidecar = Some(self.spawn(command, "sidecar.log", "sidecar.log"));
        let socket = self.path("sidecar.sock");
        kudu::wait_for("the sidecar's socket", || {
            let ended = self.sidecar.as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "{}: the sidecar ended: {ended:?}", self.name);
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    /// Runs a sidecar that is expected to refuse its work, and returns how it ended and what it said.
    pub(crate) fn failing_sidecar(&self) -> (ExitStatus, String) {
        let mut process = self.spawn(self.sidecar_command(), "sidecar.log", "sidecar.log");
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "{}: the sidecar goes on", self.name);
            thread::sleep(Duration::from_millis(10));
        };
        (status, fs::read_to_string(self.path("sidecar.log")).expect("a log"))
    }

    fn sidecar_command(&self) -> Command {
        if let Some(cluster) = &self.cluster {
            let mut command = self.program();
            command.env("KUBECONFIG", &cluster.kubeconfig);
            command.args(["sidecar", "--pair", PAIR, "--namespace", &cluster.namespace, "--member", self.name]);
            command.arg("--pod-uid").arg(&self.pod_uid);
            command.arg("--wal-dir").arg(self.path("wal")).arg("--data-dir").arg(self.path("data"));
            command.arg("--launcher-socket").arg(self.path("launcher.sock"));
            command.arg("--control-socket").arg(self.path("sidecar.sock"));
            if self.replication.is_some() {
                command.arg("--sync-gate-socket").arg(self.path("gate.sock"));
            }
            command.arg("--link-listen").arg(self.link()).arg("--report-listen").arg(format!("{}:8061", self.ip));
            return command;
        }
        let mut command = program();
        command.args(["sidecar", "--coordinator", "manual", "--config"]).arg(self.path("config.yaml"));
        command
    }

    /// The program; in a cluster the names of members have addresses.
    fn program(&self) -> Command {
        let Some(cluster) = &self.cluster else { return program() };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"").arg(&cluster.hosts).arg(program().get_program());
        command
    }

    fn spawn(&self, mut command: Command, stdout: &str, stderr: &str) -> Process {
        let log = |name| File::options().create(true).append(true).open(self.path(name)).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(log(stdout)).stderr(log(stderr)).spawn().expect("kudu-pair");
        Process(child)
    }

    /// Ends the launcher as a crash does, and waits until its kudu-master is dead too.
    pub(crate) fn crash_launcher(&mut self) {
        let master = self.running_master();
        drop(self.launcher.take());
        if let Some(pid) = master {
            kudu::wait_for("the death of the launcher's kudu-master", || !lives(pid));
            self.deaths.push((pid, boot_ns()));
        }
    }

    /// Ends the sidecar as a crash does.
    pub(crate) fn crash_sidecar(&mut self) {
        drop(self.sidecar.take());
    }

    /// Stops the sidecar in its tracks until it is woken, as a host that is starved of time does.
    pub(crate) fn freeze_sidecar(&self) {
        self.signal_sidecar(Signal::STOP);
    }

    /// Lets a frozen sidecar go on.
    pub(crate) fn wake_sidecar(&self) {
        self.signal_sidecar(Signal::CONT);
    }

    /// Stops the launcher alone in its tracks.
    pub(crate) fn freeze_launcher(&self) {
        self.signal_launcher(Signal::STOP);
    }

    /// Lets a frozen launcher go on.
    pub(crate) fn wake_launcher(&self) {
        self.signal_launcher(Signal::CONT);
    }

    fn signal_launcher(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.launcher.as_ref().expect("a launcher").0), signal).expect("a process");
    }

    fn signal_sidecar(&self, signal: Signal) {
        kill_process(self.sidecar_pid(), signal).expect("a process");
    }

    /// The process id of the sidecar.
    pub(crate) fn sidecar_pid(&self) -> Pid {
        Pid::from_child(&self.sidecar.as_ref().expect("a sidecar").0)
    }

    /// Ends both, as the loss of the machine does.
    pub(crate) fn crash(&mut self) {
        self.crash_sidecar();
        self.crash_launcher();
    }

    /// Ends kudu-master as a crash does. Returns its process id.
    pub(crate) fn crash_master(&self) -> i32 {
        let pid = self.running_master().expect("a kudu-master");
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("a process");
        pid
    }

    /// Stops kudu-master in its tracks. Returns its process id.
    pub(crate) fn freeze_master(&self) -> i32 {
        let pid = self.running_master().expect("a kudu-master");
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::STOP).expect("a process");
        pid
    }

    /// The process id of the kudu-master that the launcher says it runs.
    pub(crate) fn running_master(&self) -> Option<i32> {
        self.reigns().pop().filter(|reign| reign.event == ReignEvent::Started).map(|reign| reign.pid)
    }

    /// What the launchers wrote down of their masters, completed by the deaths that they could not write down.
    pub(crate) fn reigns(&self) -> Vec<Reign> {
        let text = fs::read_to_string(self.path("wal").join(reigns::FILE)).unwrap_or_default();
        let mut reigns = Vec::new();
        for line in text.lines() {
            let reign: Reign = serde_json::from_str(line).expect("a reign");
            let death = self.deaths.iter().find(|(pid, at)| *pid == reign.pid && *at > reign.boot_ns);
            reigns.push(reign.clone());
            if let (ReignEvent::Started, Some((_, at))) = (reign.event, death) {
                reigns.push(Reign { event: ReignEvent::Ended, boot_ns: *at, ..reign });
            }
        }
        reigns
    }

    /// What the sidecar has logged so far.
    pub(crate) fn sidecar_log(&self) -> String {
        fs::read_to_string(self.path("sidecar.log")).unwrap_or_default()
    }

    /// Waits until the sidecar has logged something; older than `since` characters does not count.
    #[track_caller]
    pub(crate) fn wait_until_logged(&self, since: usize, words: &str) {
        let begin = Instant::now();
        while !self.sidecar_log().get(since..).is_some_and(|log| log.contains(words)) {
            assert!(begin.elapsed() < PATIENCE, "{}: not logged within {PATIENCE:?}: {words}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the sidecar with `kudu-pair ctl`.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<MemberReport, String> {
        let output = program()
            .args(["ctl", "--socket"])
            .arg(self.path("sidecar.sock"))
            .args(words)
            .output()
            .expect("kudu-pair ctl");
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).expect("a report")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Gives an order that must be accepted.
    #[track_caller]
    pub(crate) fn order(&self, words: &[&str]) {
        if let Err(message) = self.ctl(words) {
            panic!("{}: ctl {words:?}: {message}", self.name);
        }
    }

    /// Gives an order that must be refused. Returns the message.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        match self.ctl(words) {
            Err(message) => message,
            Ok(report) => panic!("{}: ctl {words:?} was not refused: {report:?}", self.name),
        }
    }

    /// The member's report.
    pub(crate) fn status(&self) -> MemberReport {
        self.ctl(&["status"]).unwrap_or_else(|message| panic!("{}: ctl status: {message}", self.name))
    }

    /// Waits until the report is as wanted.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&MemberReport) -> bool) -> MemberReport {
        let begin = Instant::now();
        loop {
            let report = self.status();
            if wanted(&report) {
                return report;
            }
            assert!(begin.elapsed() < PATIENCE, "{}: not within {PATIENCE:?}: {what}: {report:#?}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The generations on the log's volume.
    pub(crate) fn generations(&self) -> Vec<String> {
        folders(&self.path("wal")).into_iter().filter(|name| name.starts_with("gen-")).collect()
    }

    /// The logs that are kept of replaced generations.
    pub(crate) fn quarantined(&self) -> Vec<PathBuf> {
        let parent = self.path("wal").join("quarantine");
        folders(&parent).into_iter().map(|name| parent.join(name)).collect()
    }

    /// What its control file says.
    pub(crate) fn anchors(&self) -> Anchors {
        let bytes = fs::read(self.path("wal").join("kudu-pair.anchors")).expect("a control file");
        Anchors::decode(&bytes).expect("a sound control file")
    }

    /// Waits until its control file says something.
    pub(crate) fn wait_until_anchored(&self, what: &str, wanted: impl Fn(&Anchors) -> bool) -> Anchors {
        let begin = Instant::now();
        loop {
            let anchors = self.anchors();
            if wanted(&anchors) {
                return anchors;
            }
            assert!(begin.elapsed() < PATIENCE, "{}: not within {PATIENCE:?}: {what}: {anchors:#?}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last op in the log of a member whose kudu-master is stopped, as its files show it.
    pub(crate) fn head_on_disk(&self) -> OpId {
        read_log(&self.log_on_disk(), |_, _| {}).expect("a log").summary.last.expect("an operation")
    }

    /// The log folder of a member whose kudu-master is stopped.
    pub(crate) fn log_on_disk(&self) -> PathBuf {
        stopped_log_dir(&self.log_folder())
    }

    /// The folder of its catalog's log.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.generation_folders().0.join("wals").join(SYS_CATALOG_TABLET_ID)
    }

    /// Where its kudu-master has its log, and where its data.
    pub(crate) fn generation_folders(&self) -> (PathBuf, PathBuf) {
        let [generation] = &self.generations()[..] else { panic!("{:?}", self.generations()) };
        (self.path("wal").join(generation), self.path("data").join(generation))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.sidecar = None;
        self.launcher = None;
        if thread::panicking() {
            for name in ["launcher.log", "sidecar.log", "kudu.log"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                println!("---- {} of {}, the last lines ----", name, self.name);
                lines.iter().skip(lines.len().saturating_sub(60)).for_each(|line| println!("{line}"));
            }
        }
    }
}

/// A process that is killed when this goes.
struct Process(Child);

impl Process {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already in tests of processes that end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kudu-pair"))
}

/// Whether a process is there and not just waiting to be reaped.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

fn folders(parent: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
