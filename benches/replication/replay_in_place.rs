//! How long clients wait for the replay of a gap in place, against a plain restart of `kudu-master` with the same catalog.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Stdio},
};

use kudu_pair::{api::GapState, failover::member::MemberReport};

use crate::{
    client::java,
    kudu::{self, Home},
    member::Member,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
    stats::{Better, Row, Trials},
};

/// Tables of the catalog, in the order of the rows.
const SIZES: [(usize, &str); 3] = [
    (100, "Replaying a gap in place, 100 tables"),
    (1000, "Replaying a gap in place, 1,000 tables"),
    (4000, "Replaying a gap in place, 4,000 tables"),
];
/// Tables of each gap.
const GAP: usize = 3;
/// Pause between two operations of the client: no figure can be below.
const INTERVAL_MS: u64 = 10;
/// What undoes the flags with which tests make a pair's master flush at once: Kudu's defaults.
const AS_USERS_RUN_IT: [&str; 2] = ["--flush_threshold_secs=120", "--maintenance_manager_polling_interval_ms=250"];

/// At each size, gaps that are made and replayed in turn on either member, and as many plain restarts.
pub(crate) fn run(trials: usize) -> Vec<Row> {
    let mut pair = Pair::new();
    for member in [&mut pair.a, &mut pair.b] {
        member.flags = AS_USERS_RUN_IT.map(str::to_owned).into();
    }
    pair.configure();
    pair.begin();
    let (mut there, mut on_a, mut round) = (0, true, 0);
    let mut rows = Vec::new();
    for (size, title) in SIZES {
        create(&pair.client, &format!("up-to-{size}"), size - there);
        there = size;
        let (mut restart, mut replay) = (Trials::default(), Trials::default());
        for _ in 0..trials.min(5) {
            round += 1;
            let client = &pair.client;
            let (lost, next) = if on_a { (&mut pair.a, &mut pair.b) } else { (&mut pair.b, &mut pair.a) };
            let gap = gap(client, lost, next, round);
            let watch = Watch::start(client);
            replay.add(watch.outage(|| {
                lost.order(&["replay-gap", &gap]);
                next.wait_until("the replay", is_replayed);
            }));
            restart.add(watch.outage(|| {
                next.crash_master();
            }));
            on_a = !on_a;
        }
        rows.push(Row {
            title,
            unit: "ms",
            better: Better::Lower,
            target: "less than a second in place",
            arms: vec![
                ("kudu-master killed and started again".to_owned(), restart),
                (format!("a gap of {GAP} tables replayed in place"), replay),
            ],
        });
    }
    rows
}

/// The active `lost` is lost with tables that `next` does not have, and follows it. The gap's name.
fn gap(client: &Home, lost: &mut Member, next: &mut Member, round: usize) -> String {
    wait_until_equal(lost, next);
    next.crash_sidecar();
    for number in 0..GAP {
        client.create_table(&format!("gap-{round}-{number}"), 2);
    }
    lost.crash();
    next.start_sidecar();
    next.wait_until("its log is seen", |report| report.head.is_some());
    next.order(&["promote"]);
    next.wait_until("it serves", is_serving);
    lost.start();
    lost.order(&["follow", "--link", &next.link(), "--rpc", &next.rpc]);
    let report = lost.wait_until("it streams", is_streaming);
    let open = report.gaps.iter().find(|gap| gap.state == GapState::Pending);
    open.unwrap_or_else(|| panic!("no gap: {:?}", report.gaps)).name.clone()
}

fn is_replayed(report: &MemberReport) -> bool {
    report.gaps.iter().all(|gap| gap.state == GapState::Replayed)
}

fn create(client: &Home, prefix: &str, tables: usize) {
    let mut create = java();
    create.args(["create", "--buckets=1"]).arg(format!("--master={}", client.address));
    create.arg(format!("--prefix={prefix}")).arg(format!("--tables={tables}")).stdout(Stdio::null());
    assert!(create.status().expect("java").success(), "{create:?}");
}

/// One long-lived client that opens its table again and again.
struct Watch {
    process: Child,
    folder: tempfile::TempDir,
}

impl Watch {
    fn start(client: &Home) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = java()
            .args(["watch", "--kinds=open", "--quiet"])
            .arg(format!("--interval-ms={INTERVAL_MS}"))
            .arg(format!("--master={}", client.address))
            .arg(format!("--history={}", folder.path().join("history").display()))
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("stderr")).expect("a log"))
            .spawn()
            .expect("java");
        let watch = Self { process, folder };
        watch.goes_on();
        watch
    }

    /// Milliseconds between two answers, between which lies what was done.
    fn outage(&self, strike: impl FnOnce()) -> f64 {
        self.goes_on();
        let before = self.answers().len();
        strike();
        // One may have been answered already when the stroke fell.
        self.goes_on();
        self.goes_on();
        let answers = self.answers();
        let pauses = answers.windows(2).skip(before.saturating_sub(1));
        pauses.map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }

    /// Waits for some more answers.
    fn goes_on(&self) {
        let before = self.answers().len();
        kudu::wait_for("the client's next answers", || self.answers().len() >= before + 20);
    }

    /// When each answer came, in milliseconds.
    fn answers(&self) -> Vec<f64> {
        let history = std::fs::read_to_string(self.path("history")).unwrap_or_default();
        let whole = history.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a record"));
        let ok = records.filter(|record| record["outcome"] == "ok");
        ok.map(|record| record["end_ms"].as_f64().expect("a time")).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
