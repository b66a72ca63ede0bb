//! What is to become of the operations about one table.

use bytes::Bytes;
use serde::Serialize;

/// What operations of a gap are about; all of them share one verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Subject {
    /// A table and its tablets.
    Table {
        /// Its id.
        id: String,
    },
    /// The state that a person gave a tablet server.
    TabletServer {
        /// Which.
        uuid: String,
    },
    /// Any other row: the keys and the identity of the cluster.
    Row {
        /// The number of its kind.
        kind: i8,
        /// Its id.
        id: String,
    },
}

impl Subject {
    pub(super) fn table(id: &Bytes) -> Self {
        Self::Table { id: String::from_utf8_lossy(id).into_owned() }
    }
}

/// What is to become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    /// The new active has not touched it: replaying it gives what the old active had.
    Replay,
    /// A replay of this gap has been here before.
    AlreadyReplayed,
    /// There is nothing to do.
    Superseded {
        /// Why.
        reason: SupersededReason,
    },
    /// A person has to choose.
    Conflict {
        /// Between what.
        reason: ConflictReason,
    },
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SupersededReason {
    /// Tablet servers have told the new active the same or something newer, or will.
    Overtaken,
    /// The new active was asked for the very same, as by a client that tried again.
    SameOnBothSides,
    /// It was dropped on both sides.
    DroppedOnBothSides,
    /// Keys and identity: the new active has its own.
    OwnOfEachReign,
    /// Only remains of what was dropped before.
    Housekeeping,
}

/// What a person has to choose between. "Here" is the gap, "there" is the new active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConflictReason {
    /// Another table of the new active has the name.
    NameTaken {
        /// The name.
        name: String,
        /// The id of the table that has it.
        by: String,
    },
    /// A table that is not replayed may have the name still: the logs do not go back far enough to tell.
    NameMayBeTaken {
        /// The name.
        name: String,
        /// The id of the table that may have it.
        by: String,
    },
    /// Both sides altered it.
    AlteredOnBothSides,
    /// The gap drops what the new active altered.
    DroppedHereAlteredThere,
    /// The gap alters what the new active dropped.
    AlteredHereDroppedThere,
    /// Tablets of it are on no tablet server any more.
    TabletsGone {
        /// Which.
        tablets: Vec<String>,
    },
    /// What was done cannot be understood by this version.
    NotUnderstood {
        /// What.
        what: String,
    },
}

/// What each choice would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// Replay it.
    pub replay: String,
    /// Keep it in the gap and decide later.
    pub keep: String,
    /// Give it up.
    pub discard: String,
}
