//! Questions to a whole log folder; each reads it from its beginning.

use std::path::Path;

use crate::{
    wal::{LogEntry, LogSummary, OpDigest, OpId},
    waldir::{ReadError, read_log},
};

/// What a log holds. A torn end is passed over; a log that kudu-master has not begun yet is empty.
pub(super) fn summarize(folder: &Path) -> Result<LogSummary, ReadError> {
    if !folder.exists() {
        return Ok(LogSummary::default());
    }
    Ok(read_log(folder, |_, _| {})?.summary)
}

/// The digest of one operation, if it is in the log.
pub(super) fn digest_at(folder: &Path, op: OpId) -> Result<Option<OpDigest>, ReadError> {
    let mut found = None;
    read_log(folder, |_, entry| {
        if let LogEntry::Replicate(replicate) = entry
            && replicate.id() == op
        {
            found = Some(OpDigest::of(replicate));
        }
    })?;
    Ok(found)
}
