//! A canary on the volume of the log: a small write, made durable, again and again, on a thread that may get stuck.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use super::{SidecarError, error::io as io_error};

/// Name of the file on the log's volume.
const FILE: &str = "kudu-pair.canary";
/// Pause between two writes: a flush of one block, beside the many of a log that is written.
const PAUSE: Duration = Duration::from_secs(1);
/// What is written: a block, always the same one, so that a full disk is no reason to fail.
const BLOCK: [u8; 4096] = [0; 4096];

/// A canary that goes on until this is dropped.
#[derive(Debug)]
pub(super) struct Canary {
    well: Arc<Mutex<Instant>>,
}

impl Canary {
    /// Begins. A thread of its own, not one of the runtime: a runtime does not end before its threads do.
    pub(super) fn begin(volume: &Path) -> Result<Self, SidecarError> {
        let well = Arc::new(Mutex::new(Instant::now()));
        let (weak, path) = (Arc::downgrade(&well), volume.join(FILE));
        let thread = thread::Builder::new().name("canary".to_owned());
        thread.spawn(move || run(&path, &weak)).map_err(io_error("watch", volume.join(FILE)))?;
        Ok(Self { well })
    }

    /// How long ago the last write ended well.
    pub(super) fn silent_for(&self) -> Duration {
        self.well.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

fn run(path: &Path, well: &Weak<Mutex<Instant>>) {
    let mut file = None;
    while well.strong_count() > 0 {
        let written = write(&mut file, path);
        match written {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                tracing::warn!(path = %path.display(), %error, "the volume of the log takes no writes");
                // Another descriptor: an error of an earlier flush is told once.
                file = None;
            }
            // A full disk answers, and is told of by whoever needs the space.
            _ => {
                let Some(well) = well.upgrade() else { return };
                *well.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        }
        thread::sleep(PAUSE);
    }
}

fn write(kept: &mut Option<File>, path: &Path) -> io::Result<()> {
    let mut file = match kept.take() {
        Some(file) => file,
        None => OpenOptions::new().create(true).truncate(false).write(true).open(path)?,
    };
    file.rewind()?;
    file.write_all(&BLOCK)?;
    file.sync_data()?;
    *kept = Some(file);
    Ok(())
}
