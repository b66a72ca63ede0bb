//! Hints that a log was written to, so that a change need not wait for the next look.
//!
//! Only hints: the kernel drops events when too many wait, knows nothing of a folder that is not there yet, and follows a folder that
//! Kudu moves away. Whoever uses them looks at the log at intervals anyway.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use futures::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask};

/// Room for many events; they are only counted as one.
const BUFFER_BYTES: usize = 4096;

/// A watch over a log folder.
pub(super) struct LogWatch {
    folder: PathBuf,
    /// None when the system refuses: there are limits on users.
    events: Option<EventStream<[u8; BUFFER_BYTES]>>,
    /// The folder that is watched, by device and inode.
    watched: Option<((u64, u64), WatchDescriptor)>,
}

impl LogWatch {
    /// A watch over `folder`, which need not exist.
    pub(super) fn new(folder: &Path) -> Self {
        let events = Inotify::init().and_then(|inotify| inotify.into_event_stream([0; BUFFER_BYTES]));
        let events = events.inspect_err(|error| tracing::info!(%error, "the log is looked at at intervals only")).ok();
        Self { folder: folder.to_owned(), events, watched: None }
    }

    /// Watches the folder that has the name now. To be called before each look: what is written from here on gives a hint.
    pub(super) fn renew(&mut self) {
        let Some(events) = &self.events else { return };
        let Ok(found) = fs::metadata(&self.folder).map(|found| (found.dev(), found.ino())) else { return };
        if self.watched.as_ref().is_some_and(|(watched, _)| *watched == found) {
            return;
        }
        if let Some((_, old)) = self.watched.take() {
            // It is gone by itself when the folder was removed.
            drop(events.watches().remove(old));
        }
        let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVE_SELF;
        self.watched = events.watches().add(&self.folder, mask).ok().map(|descriptor| (found, descriptor));
    }

    /// Resolves when something was written since the last call; never when nothing can be watched.
    pub(super) async fn written(&mut self) {
        let Some(events) = &mut self.events else { return std::future::pending().await };
        if !matches!(events.next().await, Some(Ok(_))) {
            self.events = None;
            return;
        }
        // What has happened besides is seen by the same look.
        while let Some(Some(Ok(_))) = events.next().now_or_never() {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Far more than any hint takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn hinted(watch: &mut LogWatch) {
        timeout(PATIENCE, watch.written()).await.expect("a hint");
    }

    #[tokio::test]
    async fn a_write_gives_a_hint_also_after_the_folder_was_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("log");
        let mut watch = LogWatch::new(&folder);
        // As before Kudu's first start.
        watch.renew();
        fs::create_dir(&folder).unwrap();
        watch.renew();
        fs::write(folder.join("wal-1"), b"x").unwrap();
        hinted(&mut watch).await;
        assert!(watch.written().now_or_never().is_none(), "all of it was one hint");

        // As Kudu's start does.
        fs::rename(&folder, root.path().join("log.recovery")).unwrap();
        hinted(&mut watch).await;
        fs::create_dir(&folder).unwrap();
        watch.renew();
        // The end of the old watch is told too.
        while watch.written().now_or_never().is_some() {}
        fs::write(folder.join("wal-1"), b"y").unwrap();
        hinted(&mut watch).await;
    }
}
