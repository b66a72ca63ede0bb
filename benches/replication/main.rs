//! Replication measured against peers in the same run: `make bench-replication`.
//!
//! Writes `docs/benchmarks/replication.md` and its picture. `ROWS=memory,base` measures a part and only prints; `TRIALS=n`
//! changes how often.

mod append;
mod base;
mod catch_up;
mod client;
mod creations;
#[allow(dead_code)]
#[path = "../../tests/pair/disk.rs"]
mod disk;
#[path = "../../tests/kudu/harness.rs"]
mod kudu;
#[allow(dead_code)]
#[path = "../../tests/pair/member.rs"]
mod member;
#[allow(dead_code)]
#[path = "../../tests/pair/pair.rs"]
mod pair;
mod picture;
#[allow(dead_code)]
#[path = "../../tests/pair/reigns.rs"]
mod reigns;
mod replay_in_place;
mod stand_in;
mod stats;

use std::{env, fs, path::Path};

use stats::Row;

const ROWS: [&str; 6] = ["append-to-durable", "ddl", "catch-up", "memory", "base", "replay-in-place"];
/// A short thing is done so often in each trial.
const REPEATS: usize = 20;

fn main() {
    let wanted = env::var("ROWS").ok();
    let trials = env::var("TRIALS").ok().map_or(10, |trials| trials.parse().expect("a number in TRIALS"));
    let mut rows: Vec<Row> = Vec::new();
    for name in ROWS {
        if wanted.as_ref().is_some_and(|wanted| !wanted.split(',').any(|one| one == name)) {
            continue;
        }
        eprintln!("{name} …");
        let measured = match name {
            "append-to-durable" => vec![append::run(trials * REPEATS)],
            "ddl" => creations::run(trials * REPEATS),
            "catch-up" => catch_up::run(100, trials),
            "memory" => vec![catch_up::memory(100)],
            "base" => vec![base::run(60, trials)],
            _ => replay_in_place::run(trials),
        };
        measured.iter().for_each(|row| println!("{row}"));
        rows.extend(measured);
    }
    if wanted.is_none() {
        write(&rows);
    }
}

fn write(rows: &[Row]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks");
    let tables: Vec<_> = rows.iter().map(ToString::to_string).collect();
    let text = format!(
        "# Replication, measured\n\n\
         Written by `make bench-replication`; run it again to have your own figures. All arms of a table ran in the same run, in\n\
         turn, on one machine with {} cores that shares its disk. The first arm of a table is the peer that the others are\n\
         compared with. [How each is measured](README.md).\n\n\
         ![medians as bars](replication.svg)\n\n{}",
        std::thread::available_parallelism().map_or(0, usize::from),
        tables.join("\n")
    );
    fs::create_dir_all(&folder).expect("docs/benchmarks");
    fs::write(folder.join("replication.md"), text).expect("a file in docs/benchmarks");
    fs::write(folder.join("replication.svg"), picture::draw(rows)).expect("a file in docs/benchmarks");
}
