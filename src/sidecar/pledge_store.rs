//! What a member has pledged, on its volume and in memory: until when it takes no Lease.
//!
//! A pledge is on disk before it is answered, each one anew: a pod from which the volume was taken away can give none any
//! more, and the pod that has the volume now finds the last one. A lock on the volume does the same for two sidecars on one
//! machine.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    SidecarError,
    config::SidecarConfig,
    error::io,
    shipping::blocking,
    store::{remove_durably, write_durably},
};
use crate::{
    clock,
    failover::failsafe::Pledge,
    volume::{Volume, disk},
};

/// Name of the pledge on the log volume; no other file there has that name before its suffix.
const FILE_NAME: &str = "pledge.json";
/// Name of the lock.
const LOCK_NAME: &str = "sidecar.lock";
/// How long a pledge that cannot be read is taken to last, in milliseconds: the longest `leaseDurationMilliseconds` there is.
const LONGEST_MILLISECONDS: u64 = 120_000;

/// What a member has pledged.
#[derive(Debug, Clone)]
pub(super) struct PledgeStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    volume: Arc<dyn Volume>,
    wal_dir: PathBuf,
    /// `<pod>/<uid>` of this member.
    pod: String,
    member: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Until when this member takes no Lease, by the boot-time clock.
    until: u64,
    /// Whether a pledge lies on the volume, or may.
    on_disk: bool,
    /// How many pledges were begun.
    begun: u64,
    /// Held as long as this sidecar runs, once it was free.
    lock: Option<File>,
}

impl PledgeStore {
    /// Finds what was pledged on the volume before this sidecar was started.
    ///
    /// # Errors
    /// When that cannot be read for another reason than that there is nothing.
    pub(super) fn open(config: &SidecarConfig) -> Result<Self, SidecarError> {
        let path = config.wal_dir.join(FILE_NAME);
        let now = clock::boot_ns();
        let (until, on_disk) = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => (0, false),
            Err(error) => return Err(io("read", path)(error)),
            Ok(bytes) => match serde_json::from_slice::<Pledge>(&bytes) {
                Ok(pledge) => {
                    tracing::info!(?pledge, "pledged before this sidecar was started");
                    (pledge.binds_until(&config.identity_prefix, now), true)
                }
                Err(error) => {
                    tracing::warn!(%error, "the pledge on the volume cannot be read; it is taken for the longest there is");
                    (clock::after(now, Duration::from_millis(LONGEST_MILLISECONDS)), true)
                }
            },
        };
        Ok(Self(Arc::new(Shared {
            volume: disk(),
            wal_dir: config.wal_dir.clone(),
            pod: config.identity_prefix.clone(),
            member: config.member.clone(),
            state: Mutex::new(State { until, on_disk, begun: 0, lock: None }),
        })))
    }

    /// Pledges to the active of `epoch` to take no Lease for so long, from now on. It is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written, or another sidecar has the volume; then nothing may be answered.
    pub(super) async fn give(&self, to: &str, epoch: i64, milliseconds: u64) -> Result<(), SidecarError> {
        let shared = Arc::clone(&self.0);
        let now = clock::boot_ns();
        let number = {
            let mut state = self.state();
            state.begun = state.begun.saturating_add(1);
            // In memory before it is on disk, and never shortened: whoever asks for less later has been promised more before.
            // An active does not bind itself.
            if to != self.0.member {
                state.until = state.until.max(clock::after(now, Duration::from_millis(milliseconds)));
            }
            state.begun
        };
        let to = to.to_owned();
        blocking(move || {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            shared.locked(&mut state)?;
            if state.begun != number {
                // A newer one is there, or on its way; this one may be another duty's that has ended.
                return Err(SidecarError::PledgeReplaced);
            }
            let rest = Duration::from_nanos(state.until.saturating_sub(now)).as_millis();
            let milliseconds = u64::try_from(rest).unwrap_or(u64::MAX).saturating_add(1).max(milliseconds);
            let pledge = Pledge { by: shared.pod.clone(), to, epoch, milliseconds };
            state.on_disk = true;
            // The pledge has no map and no failing serializer, the only errors that serde_json has here.
            let bytes = serde_json::to_vec(&pledge).unwrap_or_default();
            write_durably(&*shared.volume, &shared.wal_dir.join(FILE_NAME), &bytes)
        })
        .await
    }

    /// Why this member may take no Lease now, and for how long at least.
    pub(super) fn binds(&self) -> Option<(String, Duration)> {
        let mut state = self.state();
        if let Err(error) = self.0.locked(&mut state) {
            return Some((error.to_string(), Duration::from_secs(1)));
        }
        let left = state.until.saturating_sub(clock::boot_ns());
        (left > 0).then(|| {
            let why = "this member pledged to an active that could not reach the API server that it would not take over; \
                       it waits until that is over";
            (why.to_owned(), Duration::from_nanos(left))
        })
    }

    /// Removes a pledge that is over, so that it delays nobody later.
    pub(super) async fn forget(&self) {
        {
            let state = self.state();
            if !state.on_disk || state.until > clock::boot_ns() {
                return;
            }
        }
        let shared = Arc::clone(&self.0);
        let removed = blocking(move || {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.until > clock::boot_ns() {
                return Ok(());
            }
            remove_durably(&*shared.volume, &shared.wal_dir.join(FILE_NAME))?;
            state.on_disk = false;
            Ok::<_, SidecarError>(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "a pledge that is over cannot be removed; it delays the next start of this member");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while it held it has changed nothing by half.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Makes sure that no other sidecar has the volume.
    fn locked(&self, state: &mut State) -> Result<(), SidecarError> {
        if state.lock.is_some() {
            return Ok(());
        }
        let path = self.wal_dir.join(LOCK_NAME);
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                state.lock = Some(file);
                Ok(())
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(SidecarError::OtherSidecar { path: self.wal_dir.clone() }),
            Err(error) => Err(io("lock", path)(error.into())),
        }
    }
}
