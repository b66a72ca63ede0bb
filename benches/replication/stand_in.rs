//! A pair whose active writes as fast as a disk takes it: its kudu-master is a process that only sleeps, and this program
//! appends to its log in its place. Sidecars, launchers, standbys and files are the real ones.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use kudu_pair::{
    wal::{LogEntry, OpId, Replicate},
    waldir::{LogAppender, read_log},
};

use crate::{
    kudu,
    member::{Member, PAIR},
    pair::{is_serving, is_streaming},
};

/// Names of the standbys.
const NAMES: [&str; 4] = ["b", "c", "d", "e"];

/// See the module.
pub(crate) struct StandIn {
    pub(crate) active: Member,
    pub(crate) standbys: Vec<Member>,
    appender: LogAppender,
    template: Replicate,
    last: OpId,
    /// Kudu's programs, with a sleeping kudu-master.
    _programs: tempfile::TempDir,
}

impl StandIn {
    /// A pair with so many standbys, up to four, that stream.
    pub(crate) fn start(standbys: usize) -> Self {
        let rpc = format!("{}:7051", kudu::loopback());
        let mut active = Member::new("a", &rpc);
        let mut standbys: Vec<_> = NAMES.iter().take(standbys).map(|name| Member::new(name, &rpc)).collect();
        active.configure(PAIR, &standbys.iter().collect::<Vec<_>>(), None);
        active.start();
        active.order(&["init"]);
        active.wait_until("a serves", is_serving);
        for standby in &mut standbys {
            standby.configure(PAIR, &[&active], Some(&active));
            standby.start();
            standby.wait_until("it streams", is_streaming);
        }
        active.crash_launcher();
        let log = active.log_on_disk();
        let mut template = None;
        read_log(&log, |_, entry| {
            if let LogEntry::Replicate(op) = entry
                && op.raw().len() > 300
            {
                template = Some(op.clone());
            }
        })
        .expect("a log");
        let programs = sleeping_master();
        active.kudu = programs.path().to_owned();
        active.start_launcher();
        active.wait_until("the end of the first reign", |report| report.master_stopped);
        active.order(&["promote"]);
        active.wait_until("the stand-in runs", |report| !report.master_stopped);
        let appender = LogAppender::open(&log).expect("the log");
        let last = appender.summary().last.expect("an operation");
        let last = OpId::new(kudu_pair::replication::terms::floor(active.status().epoch) + 1, last.index);
        Self { active, standbys, appender, template: template.expect("an operation"), last, _programs: programs }
    }

    /// Appends operations like Kudu's, in one batch. Returns the last one.
    pub(crate) fn append(&mut self, count: usize) -> OpId {
        let ops: Vec<_> = (0..count)
            .map(|_| {
                self.last = OpId::new(self.last.term, self.last.index + 1);
                self.template.renumbered(self.last, 1).expect("an operation")
            })
            .collect();
        self.appender.append(&ops).expect("a log that can be appended to");
        self.last
    }

    /// Makes what was appended durable on the active.
    pub(crate) fn sync(&mut self) {
        self.appender.sync().expect("a log that can be synced");
    }

    /// Bytes of one operation.
    pub(crate) fn op_bytes(&self) -> usize {
        self.template.raw().len()
    }
}

/// Kudu's tools as they are, and a kudu-master that does nothing.
fn sleeping_master() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("bin")).expect("a folder");
    let dist = kudu::dist().display();
    let kudu = format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH={dist}/lib SASL_PATH={dist}/lib/sasl2\nexec {dist}/bin/kudu \"$@\"\n"
    );
    for (name, text) in [("kudu", kudu.as_str()), ("kudu-master", "#!/bin/sh\nexec sleep 3600\n")] {
        let path: PathBuf = folder.path().join("bin").join(name);
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script that can be run");
    }
    folder
}
