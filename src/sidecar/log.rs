//! Questions to a whole log folder; each reads it from its beginning.

use std::path::Path;

use crate::{
    wal::{LogEntry, LogSummary, OpDigest, OpId},
    waldir::{ReadError, read_log, stopped_log_dir},
};

/// What the log of a stopped kudu-master holds, also when a start was interrupted while it rewrote the log. A torn end is
/// passed over; a log that kudu-master has not begun yet is empty.
pub(super) fn summarize(folder: &Path) -> Result<LogSummary, ReadError> {
    let folder = stopped_log_dir(folder);
    if !folder.exists() {
        return Ok(LogSummary::default());
    }
    Ok(read_log(&folder, |_, _| {})?.summary)
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
