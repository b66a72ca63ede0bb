//! What can go wrong in a sidecar.

use std::path::PathBuf;

use crate::{
    launcher::client::LauncherError,
    replication::{HangUp, anchors::AnchorsError, frame::FrameError, message::MessageError},
    wal::OpId,
    waldir::{AppendError, ReadError, TailError},
};

/// What can go wrong in a sidecar. The text goes into the member's report, so it says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address or socket.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A control file that cannot be trusted.
    #[error("the control file {} cannot be used: {source}; restore it, or empty the member's volumes so that it takes a new base", path.display())]
    Anchors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AnchorsError,
    },
    /// The control file is another pair's.
    #[error("the volume belongs to pair {found:?} and this member to {wanted:?}; give the member a volume of its own")]
    OtherPair {
        /// The pair in the control file.
        found: String,
        /// The pair of this member.
        wanted: String,
    },
    /// Files that cannot be read, written or moved.
    #[error("cannot {what} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A base that does not belong to this member's log.
    #[error("the copied base and this member's log do not have the same operation {op}; the base is not used")]
    ForeignBase {
        /// The base's last operation.
        op: OpId,
    },
    /// The launcher did not do what it was asked.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// Another member that speaks nonsense.
    #[error("from {peer}: {source}")]
    Frame {
        /// Who.
        peer: String,
        /// What.
        source: FrameError,
    },
    /// Another member that speaks nonsense.
    #[error("from {peer}: {source}")]
    Message {
        /// Who.
        peer: String,
        /// What.
        source: MessageError,
    },
    /// A connection that broke.
    #[error("the connection with {peer}: {source}")]
    Link {
        /// With whom.
        peer: String,
        /// Why.
        source: std::io::Error,
    },
    /// A stream that this end has ended.
    #[error("the stream with {peer} was ended: {reason}")]
    HangUp {
        /// With whom.
        peer: String,
        /// Why.
        reason: HangUp,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The live log cannot be followed.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The log cannot be appended to.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A log that does not part where it was said to.
    #[error("the operations that only this member has cannot be told apart: {0}; its log is left as it is")]
    Gap(crate::gap::GapError),
    /// Gaps that nobody has decided about take all the room that there is for gaps.
    #[error(
        "the operations that only this member has take {bytes} bytes, and with the gaps that it keeps ({}) that would be more than \
         spec.switchBack.maxMebibytes allows ({max_bytes} bytes): replay or discard one of them, or raise it; this member's log is left as it is",
        open.join(", ")
    )]
    NoRoomForGap {
        /// What it needs.
        bytes: u64,
        /// What there may be in all.
        max_bytes: u64,
        /// The gaps that nobody has decided about.
        open: Vec<String>,
    },
    /// A gap of which there is no plan.
    #[error("there is no plan, since {0}")]
    GapPlan(crate::catalog::CatalogError),
    /// A gap that cannot be made into new operations.
    #[error(transparent)]
    Renumber(crate::gap::RenumberError),
    /// A gap that cannot be kept.
    #[error("the operations that only this member has cannot be kept: {why}; its log is left as it is")]
    GapNotKept {
        /// Why not.
        why: String,
    },
    /// An order to serve without a catalog.
    #[error(
        "this member is to serve, but there is no catalog on its volumes; a second one is never formatted. Switch to a member that has the catalog, or restore this member's volumes"
    )]
    NoCatalog,
    /// A gate that nobody would answer.
    #[error(
        "the launcher runs kudu-master with the sync gate, but this sidecar does not answer it; give it the launcher's --sync-gate-socket"
    )]
    NoGateSocket,
    /// An order to serve with too short a log.
    #[error(
        "this member is to serve from {gate} on, but its log ends at {head}; it does not serve with less than what was recorded"
    )]
    BelowGate {
        /// What it must have.
        gate: OpId,
        /// What it has.
        head: OpId,
    },
    /// The coordinator cannot be reached or refuses.
    #[error("{0}")]
    Coordinator(String),
    /// Two sidecars on one volume.
    #[error("another sidecar still works on {}; this one takes no Lease and pledges nothing until that one has ended", path.display())]
    OtherSidecar {
        /// The volume.
        path: PathBuf,
    },
    /// A pledge that was overtaken by a newer one.
    #[error("a newer pledge has taken the place of this one")]
    PledgeReplaced,
    /// kudu-master does not stay up.
    #[error("kudu-master does not stay up: {0}")]
    CrashLoop(String),
    /// The volume of the log takes no writes.
    #[error("the volume of the log, {}, has taken no write for {} s; see the volume and its node", path.display(), silent.as_secs())]
    Stalled {
        /// Where it is mounted.
        path: PathBuf,
        /// How long ago one ended well.
        silent: std::time::Duration,
    },
    /// kudu-master runs, and answers nobody.
    #[error(
        "kudu-master took connections and answered none, again soon after it was restarted for that; see its log, and the load \
         and the disks of its node"
    )]
    Hung,
}

impl SidecarError {
    /// A conversation with another member that this one ends, or that was silent.
    pub(super) fn cut(peer: &str, why: &str) -> Self {
        Self::Link { peer: peer.to_owned(), source: std::io::Error::other(why) }
    }
}

const NO_SPACE: &str = "; the volume is full: enlarge it (the PVC's size), or remove what does not belong there";

fn advice(source: &std::io::Error) -> &'static str {
    if source.kind() == std::io::ErrorKind::StorageFull { NO_SPACE } else { "" }
}

/// Names the file in an I/O error.
pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> SidecarError {
    let path = path.into();
    move |source| SidecarError::Io { what, path, source }
}
