//! Where a tail is in a log: the folder and the segments that it holds open.

use std::{
    collections::VecDeque,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::waldir::{ReadError, TailError, list_segments, segment::SegmentReader};

/// Segments held open ahead of the one that is read, so that log collection cannot take them away.
/// At 8 MiB each the reader may fall this far behind without needing a new base.
const MOST_OPEN_SEGMENTS: usize = 64;

/// The log's folder, and the segments that are not read to their end yet, held open.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    folder: Option<File>,
    /// The segment that is read, and those behind it.
    segments: VecDeque<SegmentReader>,
    newest: Option<u64>,
}

/// What has the log folder's name now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// Nothing.
    Absent,
    /// The folder that is held open.
    Held,
    /// Another one, or the first.
    Other,
}

impl Place {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), folder: None, segments: VecDeque::new(), newest: None }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The segment that is read.
    pub(super) fn segment(&mut self) -> Option<&mut SegmentReader> {
        self.segments.front_mut()
    }

    /// Whether bytes of the segment are in hand that were read earlier.
    pub(super) fn is_ahead(&self) -> bool {
        self.segments.front().is_some_and(SegmentReader::is_ahead)
    }

    /// Whether there is a segment behind the one that is read.
    pub(super) fn has_next(&self) -> bool {
        self.segments.len() > 1
    }

    /// Goes on to the next segment.
    pub(super) fn advance(&mut self) {
        self.segments.pop_front();
    }

    /// Forgets the segments, to read the log from its start again.
    pub(super) fn forget(&mut self) {
        self.segments.clear();
        self.newest = None;
    }

    /// Compares the folder that is held open with the one that has the name.
    pub(super) fn look(&self) -> Result<Folder, TailError> {
        let Some(at_path) = self.folder_metadata()? else { return Ok(Folder::Absent) };
        Ok(if self.holds(&at_path)? { Folder::Held } else { Folder::Other })
    }

    /// Holds the folder open that has the name now; false: there is none. Should it be replaced meanwhile, the next look shows
    /// that.
    pub(super) fn open_folder(&mut self) -> Result<bool, TailError> {
        self.folder = match File::open(&self.dir) {
            Ok(folder) => Some(folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ReadError::io(&self.dir, "open the folder")(error).into()),
        };
        Ok(true)
    }

    /// Opens the segments that are new.
    pub(super) fn find_segments(&mut self) -> Result<(), TailError> {
        let listed = match list_segments(&self.dir) {
            Ok(listed) => listed,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut opened = Vec::new();
        for segment in listed {
            if self.newest.is_some_and(|newest| segment.sequence_number <= newest) {
                continue;
            }
            if self.segments.len().saturating_add(opened.len()) >= MOST_OPEN_SEGMENTS {
                break;
            }
            match SegmentReader::open(segment) {
                Ok(reader) => opened.push(reader),
                // Collected, or moved away with the whole folder.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
        // If the folder was replaced meanwhile, these segments belong to another log: the next poll starts over.
        if opened.is_empty() || self.look()? != Folder::Held {
            return Ok(());
        }
        self.newest = opened.last().map(SegmentReader::sequence_number);
        self.segments.extend(opened);
        Ok(())
    }

    /// Whether a folder is the one that is held open.
    fn holds(&self, found: &Metadata) -> Result<bool, TailError> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let held = folder.metadata().map_err(ReadError::io(&self.dir, "look at the folder"))?;
        Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
    }

    fn folder_metadata(&self) -> Result<Option<Metadata>, TailError> {
        match fs::metadata(&self.dir) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::io(&self.dir, "look at the folder")(error).into()),
        }
    }
}
