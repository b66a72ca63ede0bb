//! Copying a base with Kudu's own tools, against `cp` of the same files.

use std::{process::Command, time::Instant};

use crate::{
    kudu::{self, Home, TabletServer},
    stats::{Better, Row, Trials},
};

/// Copies the catalog of one master again and again, both ways in turn.
pub(crate) fn run(tables: usize, trials: usize) -> Row {
    let active = Home::new(kudu::loopback());
    let _server = active.serve(&[]);
    let _tablets = TabletServer::start(&active);
    for number in 0..tables {
        active.create_table(&format!("table_{number}"), 8);
    }
    let (mut cp, mut base) = (Trials::default(), Trials::default());
    for _ in 0..trials {
        let begin = Instant::now();
        drop(Home::base_copy(&active));
        base.add(begin.elapsed().as_secs_f64() * 1000.0);

        let to = tempfile::tempdir().expect("a folder");
        let script = "cp -r \"$1\"/. \"$2\" && sync -f \"$2\"";
        let begin = Instant::now();
        let status = Command::new("sh").args(["-c", script, "sh"]).arg(active.path()).arg(to.path()).status();
        assert!(status.expect("sh").success(), "cp failed");
        cp.add(begin.elapsed().as_secs_f64() * 1000.0);
    }
    Row {
        title: "Copying a base of a running master",
        unit: "ms",
        better: Better::Lower,
        target: "",
        arms: vec![
            ("cp -r of its files, and sync".to_owned(), cp),
            ("base (fs format, copy_from_remote)".to_owned(), base),
        ],
    }
}
