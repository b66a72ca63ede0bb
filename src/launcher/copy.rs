//! Copies a base from a running kudu-master.

use std::time::{Duration, Instant};

use super::{
    catalog::TABLET,
    flags::tool_flags,
    jobs::{JobError, Workshop},
    term::folder_flags,
    tools::{Cancel, Limits},
    volumes::Folders,
};

/// Formatting an empty folder takes 60 ms.
pub const LAYOUT_LIMITS: Limits = Limits { total: Duration::from_secs(60), idle: None };
/// A catalog of 100,000 tablets takes half a second; an hour bounds what a slow network can make of the largest.
const COPY_LIMITS: Limits = Limits { total: Duration::from_secs(3600), idle: Some(Duration::from_secs(30)) };
/// How often the progress of a copy is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// The first release whose tool can hold a copy back.
const THROTTLES_SINCE: (u32, u32) = (1, 18);

/// Where a base is copied from.
#[derive(Debug)]
pub struct Source<'a> {
    /// RPC address of a kudu-master, `host:port`.
    pub from: &'a str,
    /// How much is read from it in a second at most.
    pub bytes_per_second: Option<u64>,
}

/// Copies a base from a running kudu-master into the folders of a generation that has begun.
pub fn copy_base(
    workshop: &Workshop,
    generation: &str,
    uuid: &str,
    source: &Source<'_>,
    cancel: &Cancel,
) -> Result<(), JobError> {
    let begin = Instant::now();
    let from = source.from;
    let partial = workshop.volumes.partial(generation);
    lay_out(workshop, &partial, uuid, cancel)?;

    let mut args = ["local_replica", "copy_from_remote", TABLET, from].map(str::to_owned).to_vec();
    args.extend(folder_flags(&partial));
    args.extend(tool_flags(&workshop.user_flags));
    if let Some(limit) = source.bytes_per_second
        && throttles(&workshop.programs.version(&workshop.children)?)
    {
        args.push(format!("--tablet_copy_throttler_bytes_per_sec={limit}"));
        args.push(format!("--tablet_copy_transfer_chunk_size_bytes={}", chunk_bytes(limit)));
    }
    let mut logged = begin;
    let measure = || {
        let bytes = partial.bytes();
        if logged.elapsed() >= LOG_EVERY {
            logged = Instant::now();
            tracing::info!(generation, from, bytes, "copying a base");
        }
        bytes
    };
    workshop.programs.run(&workshop.children, &args, cancel, &COPY_LIMITS, measure)?;
    let millis = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(generation, from, bytes = partial.bytes(), millis, "copied a base");
    Ok(())
}

/// Makes the folders of a master with this uuid, without a catalog.
pub fn lay_out(workshop: &Workshop, folders: &Folders, uuid: &str, cancel: &Cancel) -> Result<(), JobError> {
    let mut args = vec!["fs".to_owned(), "format".to_owned(), format!("--uuid={uuid}")];
    args.extend(folder_flags(folders));
    args.extend(tool_flags(&workshop.user_flags));
    Ok(workshop.programs.run(&workshop.children, &args, cancel, &LAYOUT_LIMITS, || 0)?)
}

/// How much of a file is asked for at once under a limit in bytes per second.
///
/// Kudu's throttle gives out a tenth of the limit each tenth of a second and saves nothing up: what is larger never gets its turn, and the copy
/// hangs (kudu/util/throttler.cc). Kudu asks for 4 MiB.
fn chunk_bytes(limit: u64) -> u64 {
    const KUDUS_OWN: u64 = 4 * 1024 * 1024;
    (limit / 10).clamp(1, KUDUS_OWN)
}

/// Whether this release, as in `kudu 1.18.1`, knows the flag that holds a copy back. An unknown flag would end the tool.
fn throttles(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("kudu ").split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= THROTTLES_SINCE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_no_more_than_the_throttle_gives_out_at_once() {
        for mebibytes in [1, 32, 39, 40, 41, 1000] {
            let limit = mebibytes << 20;
            assert!(chunk_bytes(limit) <= limit / 10 && chunk_bytes(limit) <= 4 << 20);
        }
        assert_eq!(chunk_bytes(400 << 20), 4 << 20);
    }

    #[test]
    fn only_a_release_that_knows_the_flag_is_given_it() {
        assert!(throttles("kudu 1.18.1"));
        assert!(throttles("kudu 2.0.0-SNAPSHOT"));
        assert!(!throttles("kudu 1.17.1"));
        assert!(!throttles("something else"));
    }
}
