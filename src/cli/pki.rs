//! `kudu-pair pki`: certificates for members that run without Kubernetes.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::pki::{self, Issued, certificate::certificates, issue, verify};

const AUTHORITY_CERTIFICATE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";

/// Make certificates for the stream between members that run without Kubernetes.
///
/// Once for a pair: `kudu-pair pki ca --pair demo --out ca`; keep `ca/ca.key` away from the members. For each member:
/// `kudu-pair pki member --pair demo --member one --ca ca --out one`; give the member `one/one.crt`, `one/one.key` and
/// `ca/ca.crt`, and name them under `tls` in its configuration file. Run that again before the certificate ends, after 90 days:
/// a sidecar reads its files again when they change, and no stream is interrupted.
///
/// A new authority, every few years: make one in another folder; give every member both `ca.crt` in one file; then
/// every member a certificate of the new one; then every member the new `ca.crt` alone.
#[derive(Debug, Args)]
pub struct PkiArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority: `ca.crt` and `ca.key`, valid for 5 years.
    Ca {
        /// Name of the pair.
        #[arg(long)]
        pair: String,
        /// Folder to write into; made when it is not there. An authority that is there is never replaced.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Make a member's certificate: `<member>.crt` and `<member>.key`, valid for 90 days.
    Member {
        /// Name of the pair.
        #[arg(long)]
        pair: String,
        /// Name of the member.
        #[arg(long)]
        member: String,
        /// Folder of the authority.
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// Folder to write into; made when it is not there. What is there of the same name is replaced.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Runs `kudu-pair pki`.
pub fn run(args: &PkiArgs) -> Result<()> {
    match &args.command {
        Command::Ca { pair, out } => make_authority(pair, out),
        Command::Member { pair, member, ca, out } => make_member(pair, member, ca, out),
    }
}

fn make_authority(pair: &str, out: &Path) -> Result<()> {
    for name in [AUTHORITY_CERTIFICATE, AUTHORITY_KEY] {
        let file = out.join(name);
        if file.exists() {
            bail!(
                "--out: {} is there already; an authority is never replaced, make the new one elsewhere",
                file.display()
            );
        }
    }
    let made = issue::authority(pair, Timestamp::now())?;
    write(out, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, &made)
}

fn make_member(pair: &str, member: &str, ca: &Path, out: &Path) -> Result<()> {
    let read = |name: &str| {
        let file = ca.join(name);
        fs::read_to_string(&file).with_context(|| format!("--ca: cannot read {}", file.display()))
    };
    let authority = Issued { certificate: read(AUTHORITY_CERTIFICATE)?, key: read(AUTHORITY_KEY)? };
    let name = pki::manual_name(pair, member);
    let now = Timestamp::now();
    let made = issue::member(pair, &authority, &name, now)?;
    // An authority of another pair, or a key that is not its own: found here, not when members refuse each other.
    let place = format!("--ca: {}", ca.join(AUTHORITY_CERTIFICATE).display());
    let trusted = verify::trusted(&place, authority.certificate.as_bytes())?;
    let chain = certificates("the new certificate", made.certificate.as_bytes())?;
    verify::verify("the new certificate", &chain, &trusted, &name, now)
        .with_context(|| format!("{place}: is it the authority of pair {pair:?}, beside its own key?"))?;
    write(out, &format!("{member}.crt"), &format!("{member}.key"), &made)
}

fn write(out: &Path, certificate: &str, key: &str, made: &Issued) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("--out: cannot make the folder {}", out.display()))?;
    replace(&out.join(key), made.key.as_bytes(), 0o600)?;
    replace(&out.join(certificate), made.certificate.as_bytes(), 0o644)
}

/// Replaces a file at once: no reader ever sees half of one.
fn replace(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let put = || -> std::io::Result<()> {
        drop(fs::remove_file(&new));
        let mut to: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        to.write_all(content)?;
        to.sync_all()?;
        fs::rename(&new, file)
    };
    put().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_only_and_an_authority_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (ca, out) = (folder.path().join("ca"), folder.path().join("out"));
        make_authority("demo", &ca).unwrap();
        make_member("demo", "one", &ca, &out).unwrap();
        make_member("demo", "one", &ca, &out).unwrap();
        for key in [ca.join("ca.key"), out.join("one.key")] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = fs::read(ca.join("ca.key")).unwrap();
        let error = make_authority("demo", &ca).unwrap_err().to_string();
        assert!(error.starts_with("--out: ") && error.contains("is there already"), "{error}");
        assert_eq!(fs::read(ca.join("ca.key")).unwrap(), before);
    }

    #[test]
    fn an_authority_that_does_not_fit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (ca, other) = (folder.path().join("ca"), folder.path().join("other"));
        make_authority("demo", &ca).unwrap();
        make_authority("other", &other).unwrap();
        let says = |folder: &Path| format!("{:#}", make_member("demo", "one", folder, folder).unwrap_err());
        assert!(says(&other).contains("is it the authority of pair \"demo\""));
        fs::copy(ca.join("ca.crt"), other.join("ca.crt")).unwrap();
        assert!(says(&other).contains("beside its own key"));
        assert!(says(&folder.path().join("nowhere")).contains("--ca: cannot read"));
        assert!(!other.join("one.key").exists());
    }
}
