//! A pair whose active writes as fast as a disk takes it: its kudu-master is a process that only waits for its end, and this
//! program appends to its log in its place. Sidecars, launchers, standbys and files are the real ones.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use kudu_pair::{
    wal::{LogEntry, OpId, OpType, Replicate},
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
    /// Kudu's programs, with a kudu-master that waits.
    _programs: tempfile::TempDir,
}

impl StandIn {
    /// A pair with so many standbys, up to four, that stream.
    pub(crate) fn start(standbys: usize) -> Self {
        Self::start_with(standbys, None)
    }

    /// The same, and all standbys are waited for.
    pub(crate) fn start_synchronous(standbys: usize) -> Self {
        let pair = Self::start_with(standbys, Some(&serde_json::json!({ "acknowledgement": { "mode": "All" } })));
        pair.active.wait_until("every standby is waited for", |report| {
            report.sync.as_ref().is_some_and(|record| record.members.len() == standbys)
        });
        pair
    }

    fn start_with(standbys: usize, replication: Option<&serde_json::Value>) -> Self {
        let rpc = format!("{}:7051", kudu::loopback());
        let mut active = Member::new("a", &rpc);
        let mut standbys: Vec<_> = NAMES.iter().take(standbys).map(|name| Member::new(name, &rpc)).collect();
        if let Some(replication) = replication {
            active.make_synchronous(replication);
            standbys.iter_mut().for_each(|standby| standby.make_synchronous(replication));
        }
        active.configure(PAIR, &standbys.iter().collect::<Vec<_>>(), None);
        active.start();
        active.order(&["init"]);
        active.wait_until("a serves", is_serving);
        for standby in &mut standbys {
            standby.configure(PAIR, &[&active], Some(&active));
            standby.start();
            standby.wait_until("it streams", is_streaming);
        }
        let log = active.log_on_disk();
        let mut found = (None, None);
        kudu::wait_for("operations to copy", || {
            found = templates(&log);
            found.0.is_some() && found.1.is_some()
        });
        let (opening, template) = found;
        active.crash_launcher();
        let programs = waiting_master();
        active.kudu = programs.path().to_owned();
        active.start_launcher();
        active.wait_until("the end of the first reign", |report| report.master_stopped);
        active.order(&["promote"]);
        active.wait_until("the stand-in runs", |report| !report.master_stopped);
        let appender = LogAppender::open(&log).expect("the log");
        let last = appender.summary().last.expect("an operation");
        let last = OpId::new(kudu_pair::replication::terms::floor(active.status().epoch) + 1, last.index);
        let template = template.expect("an operation");
        let mut pair = Self { active, standbys, appender, template, last, _programs: programs };
        pair.write(&opening.expect("a NO_OP"), 1);
        pair.sync();
        pair
    }

    /// Appends operations like Kudu's, in one batch. Returns the last one.
    pub(crate) fn append(&mut self, count: usize) -> OpId {
        self.write(&self.template.clone(), count)
    }

    fn write(&mut self, template: &Replicate, count: usize) -> OpId {
        let ops: Vec<_> = (0..count)
            .map(|_| {
                self.last = OpId::new(self.last.term, self.last.index + 1);
                template.renumbered(self.last, 1).expect("an operation")
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

/// The NO_OP that opens a term, and an operation as most are, from a log that may be written to.
fn templates(log: &Path) -> (Option<Replicate>, Option<Replicate>) {
    let (mut opening, mut template) = (None, None);
    let read = read_log(log, |_, entry| match entry {
        LogEntry::Replicate(op) if op.op_type() == OpType::NoOp => opening = Some(op.clone()),
        LogEntry::Replicate(op) if op.raw().len() > 300 => template = Some(op.clone()),
        _ => {}
    });
    // What was read before an end that is just being written is good.
    drop(read);
    (opening, template)
}

/// Kudu's tools as they are, and a kudu-master that does nothing: a program, and not a script, because the launcher looks
/// whether the sync gate was loaded into it.
fn waiting_master() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let dist = kudu::dist().display();
    let script = format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH={dist}/lib SASL_PATH={dist}/lib/sasl2\nexec {dist}/bin/kudu \"$@\"\n"
    );
    fs::write(bin.join("kudu"), script).expect("a script");
    fs::set_permissions(bin.join("kudu"), fs::Permissions::from_mode(0o755)).expect("a script that can be run");
    let mut compiler = Command::new("cc");
    compiler.args(["-x", "c", "-", "-o"]).arg(bin.join("kudu-master")).stdin(Stdio::piped());
    let mut compiler = compiler.spawn().expect("cc, which links Rust programs too");
    let program = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";
    compiler.stdin.take().expect("a pipe").write_all(program.as_bytes()).expect("cc");
    assert!(compiler.wait().expect("cc").success(), "cc failed");
    folder
}
