//! `kudu-pair install`: copies this program, and the sync gate beside it, into a volume, for images that have no `cp`.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::launcher::gate;

/// Copy this program to a path, executable by all, and beside it the library that `launcher --sync-gate` loads into kudu-master.
///
/// An init container copies them into a volume that the container with Kudu's own programs mounts: that image stays as it is.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to, as in /launcher/kudu-pair. An older copy is replaced at once: no reader ever sees half of one.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    let library = args.to.with_file_name(gate::LIBRARY);
    put(&library, &mut gate::library()).with_context(|| format!("cannot write {}", library.display()))?;
    File::open("/proc/self/exe")
        .and_then(|mut program| put(&args.to, &mut program))
        .with_context(|| format!("cannot copy this program to {}", args.to.display()))
}

/// Writes a file that is there as a whole or not at all.
fn put(path: &Path, content: &mut impl io::Read) -> io::Result<()> {
    let new = path.with_extension("new");
    io::copy(content, &mut File::create(&new)?)?;
    fs::set_permissions(&new, Permissions::from_mode(0o755))?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)
}
