//! `kudu-pair crd`: the CustomResourceDefinition, for `kubectl apply` or for a folder, and its page of the book.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;

use crate::api::{crd, reference};

/// Print the CustomResourceDefinition, or write it into a folder.
#[derive(clap::Args, Debug)]
pub struct CrdArgs {
    /// Folder to write the file into, which is made when it is not there. Without it: standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The page that describes every field, in Markdown, in place of the definition.
    #[arg(long)]
    reference: bool,
}

/// Runs `kudu-pair crd`.
pub fn run(args: &CrdArgs) -> anyhow::Result<()> {
    let (name, text) = if args.reference {
        (reference::REFERENCE_FILE, reference::markdown().context("cannot describe the CustomResourceDefinition")?)
    } else {
        (crd::CRD_FILE, crd::yaml().context("cannot write the CustomResourceDefinition as YAML")?)
    };
    let Some(folder) = &args.out else {
        return std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output");
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let file = folder.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_file_into_a_new_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a/b");
        run(&CrdArgs { out: Some(folder.clone()), reference: false }).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join(crd::CRD_FILE)).unwrap(), crd::yaml().unwrap());
    }

    #[test]
    fn writes_the_page_of_the_book() {
        let scratch = tempfile::tempdir().unwrap();
        run(&CrdArgs { out: Some(scratch.path().to_owned()), reference: true }).unwrap();
        let written = std::fs::read_to_string(scratch.path().join(reference::REFERENCE_FILE)).unwrap();
        assert_eq!(written, reference::markdown().unwrap());
    }

    #[test]
    fn says_which_folder_it_could_not_make() {
        let error = run(&CrdArgs { out: Some("/proc/nothing/here".into()), reference: false }).unwrap_err();
        assert!(error.to_string().contains("/proc/nothing/here"), "{error}");
    }
}
