//! Finds the segments of a log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::ReadError;
use crate::wal::SYS_CATALOG_TABLET_ID;

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentPath {
    /// Its place in the log.
    pub sequence_number: u64,
    /// Its file.
    pub path: PathBuf,
}

impl SegmentPath {
    /// The file of a segment in a log folder.
    #[must_use]
    pub fn new(dir: &Path, sequence_number: u64) -> Self {
        Self { sequence_number, path: dir.join(format!("wal-{sequence_number:09}")) }
    }
}

/// The log folder of a tablet, `<wal root>/wals/<tablet>`; for a master, of the system catalog.
#[must_use]
pub fn tablet_wal_dir(wal_root: &Path, tablet: Option<&str>) -> PathBuf {
    wal_root.join("wals").join(tablet.unwrap_or(SYS_CATALOG_TABLET_ID))
}

/// The folder that Kudu would start from, if it were started on the log folder `dir` now.
///
/// Kudu begins a start by renaming its log folder to `<tablet>.recovery`, and writes the log anew from there. If it is killed
/// meanwhile, `<tablet>` holds a part of the log that looks whole, and the next start throws that part away. So
/// the log of a master that is *stopped* is in the recovery folder whenever there is one.
#[must_use]
pub fn stopped_log_dir(dir: &Path) -> PathBuf {
    let recovery = recovery_dir(dir);
    if recovery.is_dir() { recovery } else { dir.to_owned() }
}

/// Where Kudu keeps the old log while it writes the new one.
pub(super) fn recovery_dir(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".recovery");
    dir.with_file_name(name)
}

/// The tablets that have a log below a Kudu `--fs_wal_dir`, in order.
///
/// # Errors
/// If the folder cannot be listed.
pub fn wal_tablets(wal_root: &Path) -> Result<Vec<String>, ReadError> {
    let mut tablets = names(&wal_root.join("wals"))?;
    // Folders of a start that is under way have a suffix: `<tablet>.recovery`.
    tablets.retain(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    tablets.sort();
    Ok(tablets)
}

/// The segments in a log folder, in order. Other files (Kudu's index, placeholders of segments to come) are left out.
///
/// # Errors
/// If the folder cannot be listed.
pub fn list_segments(dir: &Path) -> Result<Vec<SegmentPath>, ReadError> {
    let mut segments: Vec<_> = names(dir)?
        .iter()
        .filter_map(|name| {
            let digits = name.strip_prefix("wal-")?;
            let sequence_number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
            Some(SegmentPath { sequence_number, path: dir.join(name) })
        })
        .collect();
    segments.sort();
    Ok(segments)
}

fn names(dir: &Path) -> Result<Vec<String>, ReadError> {
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of Kudu's.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    };
    list().map_err(ReadError::io(dir, "list the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_segments_in_order_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["wal-000000010", "wal-000000002", "index.000000000", ".kudutmp.newsegmentAbC", "wal-x", "wal-"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let numbers: Vec<_> =
            list_segments(dir.path()).unwrap().into_iter().map(|segment| segment.sequence_number).collect();
        assert_eq!(numbers, [2, 10]);
        assert_eq!(SegmentPath::new(dir.path(), 10).path, dir.path().join("wal-000000010"));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = list_segments(Path::new("/nonexistent/wals")).unwrap_err();
        assert!(error.is_gone());
        assert!(error.to_string().starts_with("/nonexistent/wals: cannot list the folder"), "{error}");
    }
}
