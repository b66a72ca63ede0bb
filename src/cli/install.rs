//! `kudu-pair install`: copies this program into a volume, for images that have no `cp`.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use anyhow::{Context, Result};

/// Copy this program to a path, executable by all.
///
/// An init container copies it into a volume that the container with Kudu's own programs mounts: that image stays as it is.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to, as in /launcher/kudu-pair. An older copy is replaced at once: no reader ever sees half of one.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    let new = args.to.with_extension("new");
    let copy = || -> io::Result<()> {
        io::copy(&mut File::open("/proc/self/exe")?, &mut File::create(&new)?)?;
        fs::set_permissions(&new, Permissions::from_mode(0o755))?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &args.to)
    };
    copy().with_context(|| format!("cannot copy this program to {}", args.to.display()))
}
