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

/// Copies a base from the kudu-master at `from` into the folders of a generation that has begun.
pub fn copy_base(
    workshop: &Workshop,
    generation: &str,
    uuid: &str,
    from: &str,
    cancel: &Cancel,
) -> Result<(), JobError> {
    let begin = Instant::now();
    let partial = workshop.volumes.partial(generation);
    lay_out(workshop, &partial, uuid, cancel)?;

    let mut args = ["local_replica", "copy_from_remote", TABLET, from].map(str::to_owned).to_vec();
    args.extend(folder_flags(&partial));
    args.extend(tool_flags(&workshop.user_flags));
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
