//! Starts and drives real Kudu processes on loopback.
//!
//! Each server gets a loopback address of its own, so that tests can run at once and a standby can take over an active's
//! address. Whatever was started is killed, and its files are removed, when its value goes.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kudu_pair::{
    wal::{OpId, SYS_CATALOG_TABLET_ID},
    waldir::tablet_wal_dir,
};

/// The release that the project is built and tested for.
pub(crate) const KUDU_VERSION: &str = "1.18.1";
/// How long anything may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a promoted standby needs for its pending operations: no memory limit, and time.
pub(crate) const PROMOTION_FLAGS: [&str; 2] =
    ["--tablet_transaction_memory_limit_mb=-1", "--master_failover_catchup_timeout_ms=600000"];

/// The folder of Kudu's programs.
static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
    let dist = std::env::var_os("KUDU_DIST").map_or_else(|| dist_of(KUDU_VERSION), PathBuf::from);
    assert!(
        dist.join("bin/kudu-master").is_file(),
        "there is no bin/kudu-master in {}: set KUDU_DIST to an unpacked kudu-binary {KUDU_VERSION}, or unset it",
        dist.display()
    );
    dist
});

/// Another release, as `deploy/local/kudu-dist` fetches it: it prints the folder.
pub(crate) fn dist_of(version: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local/kudu-dist");
    let output =
        Command::new(&script).arg(version).stderr(Stdio::inherit()).output().unwrap_or_else(|error| {
            panic!("these tests need Kudu {version}; cannot run {}: {error}", script.display())
        });
    assert!(output.status.success(), "{} {version} failed, see above; or set KUDU_DIST", script.display());
    PathBuf::from(text(&output.stdout).trim())
}

/// The folder of Kudu's programs.
pub(crate) fn dist() -> &'static Path {
    &DIST
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One of Kudu's programs, with the libraries that it needs; these variables break other programs, so only it gets them.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(DIST.join("bin").join(name));
    command.env("LD_LIBRARY_PATH", DIST.join("lib")).env("SASL_PATH", DIST.join("lib/sasl2"));
    command
}

/// Runs the `kudu` tool.
pub(crate) fn try_kudu<I: IntoIterator<Item = impl AsRef<OsStr>>>(args: I) -> Output {
    program("kudu").args(args).output().expect("cannot run kudu")
}

/// Runs the `kudu` tool, which must succeed, and returns what it printed.
pub(crate) fn kudu<I: IntoIterator<Item = impl AsRef<OsStr>>>(args: I) -> String {
    let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let output = try_kudu(&args);
    assert!(output.status.success(), "kudu {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A loopback address that no other test uses, in this process or another.
pub(crate) fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // 127.64.0.0/10: the process's number in the upper bits, a count in the lower.
    let process = std::process::id() % (1 << 14);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(count < 253, "one test process has no more addresses");
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 1)) + (process << 8) + count)
}

/// Calls `ready` until it returns true.
pub(crate) fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A server process, killed when this goes.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log_dir: PathBuf,
}

impl Server {
    fn start(name: &str, home: &Path, flags: Vec<String>) -> Self {
        let log_dir = home.join("log");
        fs::create_dir_all(&log_dir).unwrap();
        let child = program(name)
            .args(["--unlock_experimental_flags", "--unlock_unsafe_flags", "--time_source=system_unsync"])
            .args(["--ipki_server_key_size=1024", "--webserver_enabled=false"])
            .arg(format!("--fs_wal_dir={}", home.join("wal").display()))
            .arg(format!("--fs_data_dirs={}", home.join("data").display()))
            .arg(format!("--log_dir={}", log_dir.display()))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("stderr")).unwrap())
            .spawn()
            .expect("cannot start a Kudu server");
        Self { child, log_dir: home.to_owned() }
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// True while it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log_dir.join("stderr")).unwrap_or_default()
    }

    fn end(&mut self) {
        // Fails only if it is already gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The files of one master, and the address that it serves at.
#[derive(Debug)]
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) address: SocketAddrV4,
}

impl Home {
    /// An empty folder, to be served at `ip`.
    pub(crate) fn new(ip: Ipv4Addr) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), address: SocketAddrV4::new(ip, 7051) }
    }

    /// The folder of everything.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `--fs_wal_dir`.
    pub(crate) fn wal_root(&self) -> PathBuf {
        self.path().join("wal")
    }

    /// The log folder of the system catalog.
    pub(crate) fn log(&self) -> PathBuf {
        tablet_wal_dir(&self.wal_root(), None)
    }

    /// The flags that name the files, for the `kudu` tool.
    pub(crate) fn fs_flags(&self) -> [String; 2] {
        [
            format!("--fs_wal_dir={}", self.wal_root().display()),
            format!("--fs_data_dirs={}", self.path().join("data").display()),
        ]
    }

    /// Runs `kudu <words> <the flags that name the files>`.
    pub(crate) fn tool(&self, words: &[&str]) -> String {
        kudu(words.iter().map(|word| (*word).to_owned()).chain(self.fs_flags()))
    }

    /// The server's identity.
    pub(crate) fn uuid(&self) -> String {
        self.tool(&["fs", "dump", "uuid"]).trim().to_owned()
    }

    /// Makes sure that the master continues from `term` or a later one.
    pub(crate) fn raise_term(&self, term: i64) {
        let term = term.to_string();
        let words = ["local_replica", "cmeta", "set_term", SYS_CATALOG_TABLET_ID, &term];
        let output = try_kudu(words.into_iter().map(str::to_owned).chain(self.fs_flags()));
        // The tool refuses the term that is already set.
        let said = text(&output.stderr);
        assert!(output.status.success() || said.contains("must be higher than current term"), "set_term: {said}");
    }

    /// Starts a master on these files and waits until it serves.
    pub(crate) fn serve(&self, flags: &[&str]) -> Server {
        let mut server = self.spawn(flags);
        wait_for("the master's first answer", || {
            assert!(server.is_running(), "the master ended: {}", server.said());
            // The tool itself is slow to fail.
            TcpStream::connect(self.address).is_ok() && self.try_list()
        });
        server
    }

    /// Starts a master on these files.
    pub(crate) fn spawn(&self, flags: &[&str]) -> Server {
        let mut all = vec![format!("--rpc_bind_addresses={}", self.address)];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Server::start("kudu-master", self.path(), all)
    }

    fn try_list(&self) -> bool {
        try_kudu(["table", "list", &self.address.to_string()]).status.success()
    }

    /// A base copy of a running master's catalog, to be served at the same address: what a standby starts from.
    pub(crate) fn base_copy(active: &Self) -> Self {
        let standby = Self::new(*active.address.ip());
        standby.tool(&["fs", "format", &format!("--uuid={}", active.uuid())]);
        standby.tool(&["local_replica", "copy_from_remote", SYS_CATALOG_TABLET_ID, &active.address.to_string()]);
        standby
    }

    /// A copy of a stopped master's files.
    pub(crate) fn clone_files(&self) -> Self {
        let copy = Self::new(*self.address.ip());
        for part in ["wal", "data"] {
            copy_folder(&self.path().join(part), &copy.path().join(part));
        }
        copy
    }

    /// Creates a table with a few columns and `buckets` tablets.
    pub(crate) fn create_table(&self, name: &str, buckets: u32) {
        self.create_table_from(&Self::plain_table(name, buckets));
    }

    /// The same while the master may be lost. Returns whether the creation was acknowledged; gives up after 3 s.
    pub(crate) fn try_create_table(&self, name: &str, buckets: u32) -> bool {
        let table = Self::plain_table(name, buckets).to_string();
        let address = self.address.to_string();
        try_kudu(["table", "create", &address, &table, "--timeout_ms=3000"]).status.success()
    }

    pub(crate) fn plain_table(name: &str, buckets: u32) -> serde_json::Value {
        serde_json::json!({
            "table_name": name,
            "schema": {
                "columns": [
                    { "column_name": "id", "column_type": "INT64" },
                    { "column_name": "name", "column_type": "STRING", "is_nullable": true, "comment": "who" },
                ],
                "key_column_names": ["id"],
            },
            "partition": { "hash_partitions": [{ "columns": ["id"], "num_buckets": buckets }] },
            "num_replicas": 1,
        })
    }

    /// Creates a table as `kudu table create` describes it.
    pub(crate) fn create_table_from(&self, table: &serde_json::Value) {
        kudu(["table", "create", &self.address.to_string(), &table.to_string()]);
    }

    /// Runs `kudu table <verb> <this master> <words>`.
    pub(crate) fn table(&self, verb: &str, words: &[&str]) -> String {
        let address = self.address.to_string();
        kudu([&["table", verb, &address], words].concat())
    }

    /// All that clients see of the catalog: each table with its columns, partitions and tablets.
    pub(crate) fn catalog(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table("list", &[]).lines().map(str::to_owned).collect();
        names.sort();
        names
            .iter()
            .map(|name| {
                let schema = self.table("describe", &[name, "--show_attributes", "--show_column_comment"]);
                let tablets = self.tablets(&[&format!("--tables={name}")]).join("\n");
                format!("{name}\n{schema}\n{tablets}")
            })
            .collect()
    }

    /// What `kudu table list --list_tablets <words>` prints. Lines are sorted: a master that was promoted lists tablets in
    /// another order than the one before, and no two calls need agree.
    pub(crate) fn tablets(&self, words: &[&str]) -> Vec<String> {
        let text = self.table("list", &[&["--list_tablets"], words].concat());
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// A tablet server, with its files.
#[derive(Debug)]
pub(crate) struct TabletServer {
    server: Server,
    dir: tempfile::TempDir,
}

impl TabletServer {
    /// Starts one that reports to a master, and waits until it can be used.
    pub(crate) fn start(master: &Home) -> Self {
        Self::start_for(&master.address.to_string())
    }

    /// The same for masters given as `host:port,host:port`.
    pub(crate) fn start_for(masters: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = vec![
            format!("--rpc_bind_addresses={}:7050", loopback()),
            format!("--tserver_master_addrs={masters}"),
            "--heartbeat_interval_ms=100".to_owned(),
        ];
        let server = Server::start("kudu-tserver", dir.path(), flags);
        wait_for("the tablet server's registration", || {
            let output = try_kudu(["tserver", "list", masters, "--format=csv"]);
            output.status.success() && !text(&output.stdout).trim().is_empty()
        });
        Self { server, dir }
    }

    /// The tablets whose data it holds.
    pub(crate) fn tablet_ids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("wal/tablet-meta")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

/// The term of an operation that must be there.
pub(crate) fn term_of(id: Option<OpId>) -> i64 {
    id.expect("an operation").term
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
