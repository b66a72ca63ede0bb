//! A standby that was away takes what it lacks, against copying the same bytes with common tools; CPU and memory of that.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    time::Instant,
};

use crate::{
    member::Member,
    stand_in::StandIn,
    stats::{Better, Row, Trials},
};

/// Operations that are appended at once.
const BATCH: usize = 1000;

/// Rates of catching up, and what it costs.
pub(crate) fn run(megabytes: usize, trials: usize) -> Vec<Row> {
    let mut pair = StandIn::start(1);
    let batches = megabytes * 1_000_000 / pair.op_bytes() / BATCH;
    let moved = (batches * BATCH * pair.op_bytes()) as f64 / 1e6;
    let has_rsync = Command::new("rsync").arg("--version").output().is_ok();
    let (mut cp, mut rsync, mut standby, mut cpu) =
        (Trials::default(), Trials::default(), Trials::default(), Trials::default());
    let folder = tempfile::tempdir().expect("a folder");
    for trial in 0..trials {
        pair.standbys[0].crash_sidecar();
        let mut last = None;
        for _ in 0..batches {
            last = Some(pair.append(BATCH));
        }
        pair.sync();
        let before = cpu_seconds(&pair.active);
        let begin = Instant::now();
        pair.standbys[0].start_sidecar();
        pair.standbys[0].wait_until("everything", |report| report.head == last);
        standby.add(moved / begin.elapsed().as_secs_f64());
        cpu.add((cpu_seconds(&pair.active) - before + cpu_seconds(&pair.standbys[0])) * 1000.0 / moved);

        let (from, to) = (folder.path().join("from"), folder.path().join(format!("to-{trial}")));
        write(&from, (moved * 1e6) as usize);
        cp.add(moved / timed("cp \"$1\" \"$2\" && sync \"$2\"", &from, &to));
        if has_rsync {
            // Half of it is there already, as with a log that was cut off.
            File::options().write(true).open(&to).and_then(|to| to.set_len((moved * 5e5) as u64)).expect("a file");
            rsync.add(moved / 2.0 / timed("rsync --append \"$1\" \"$2\" && sync \"$2\"", &from, &to));
        }
        fs::remove_file(&to).expect("a file");
    }
    let mut arms = vec![("cp, and sync".to_owned(), cp), ("standby, from its start to the head".to_owned(), standby)];
    if has_rsync {
        arms.insert(1, ("rsync --append, and sync".to_owned(), rsync));
    } else {
        println!("rsync is not installed: left out");
    }
    vec![
        Row { title: "Catching up", unit: "MB/s", better: Better::Higher, target: "", arms },
        Row {
            title: "CPU of both sidecars while catching up",
            unit: "ms/MB",
            better: Better::Lower,
            target: "",
            arms: vec![("both".to_owned(), cpu)],
        },
    ]
}

/// Memory of the active's sidecar while one to four standbys catch up.
pub(crate) fn memory(megabytes: usize) -> Row {
    let arms = [1, 4].map(|standbys| {
        let mut pair = StandIn::start(standbys);
        let batches = megabytes * 1_000_000 / pair.op_bytes() / BATCH;
        pair.standbys.iter_mut().for_each(Member::crash_sidecar);
        let last = (0..batches).map(|_| pair.append(BATCH)).last();
        pair.sync();
        pair.standbys.iter_mut().for_each(Member::start_sidecar);
        for standby in &pair.standbys {
            standby.wait_until("everything", |report| report.head == last);
        }
        let peak = status_kib(&pair.active, "VmHWM:") / 1024.0;
        (format!("{standbys} standby(s)"), [peak].into_iter().collect())
    });
    Row {
        title: "Peak memory of the active's sidecar",
        unit: "MiB",
        better: Better::Lower,
        target: "",
        arms: arms.into(),
    }
}

fn write(path: &Path, bytes: usize) {
    let mut file = File::create(path).expect("a file");
    let piece = vec![7; 1_000_000];
    for _ in 0..bytes.div_ceil(piece.len()) {
        file.write_all(&piece).expect("a file that can be written");
    }
    file.sync_all().expect("a file that can be synced");
}

fn timed(script: &str, from: &Path, to: &Path) -> f64 {
    let begin = Instant::now();
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(from).arg(to).status().expect("sh");
    assert!(status.success(), "{script} failed");
    begin.elapsed().as_secs_f64()
}

/// CPU time of a member's sidecar so far.
fn cpu_seconds(member: &Member) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", member.sidecar_pid().as_raw_nonzero())).expect("a process");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, the fields 14 and 15 of all, in ticks of 10 ms.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn status_kib(member: &Member, name: &str) -> f64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", member.sidecar_pid().as_raw_nonzero())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}
