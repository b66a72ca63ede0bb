//! A tar archive of a few text files: the format that every system can unpack.

/// A block; headers and contents fill whole ones.
const BLOCK: usize = 512;
/// Longest name without extensions of the format.
const NAME: usize = 100;

/// Files, in that order, as a tar archive (ustar). A name is cut at 100 bytes.
pub(super) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, modified_unix_seconds: u64) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, text) in files {
        archive.extend_from_slice(&header(name, text.len(), modified_unix_seconds));
        archive.extend_from_slice(text.as_bytes());
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, size: usize, modified: u64) -> Vec<u8> {
    let mut name = name.as_bytes().to_vec();
    name.truncate(NAME);
    name.resize(NAME, 0);
    let fields = |checksum: &str| {
        let mut header = name.clone();
        // Mode, and root's ids.
        header.extend_from_slice(b"0000644\x00");
        header.extend_from_slice(&b"0000000\x00".repeat(2));
        header.extend_from_slice(format!("{size:011o}\0{modified:011o}\0{checksum}0").as_bytes());
        header.resize(257, 0);
        header.extend_from_slice(b"ustar\x00");
        header.extend_from_slice(b"00");
        header.resize(BLOCK, 0);
        header
    };
    // The checksum is made with spaces in its place.
    let sum: u32 = fields("        ").iter().map(|byte| u32::from(*byte)).sum();
    fields(&format!("{sum:06o}\0 "))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_unpacks_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let long = "x".repeat(1500);
        std::fs::write(&path, archive([("d/one", "text\n"), ("d/two", &long), ("d/none", "")], 1_700_000_000)).unwrap();
        let tar = Command::new("tar").arg("-xf").arg(&path).current_dir(folder.path()).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("d/one").as_str(), read("d/two"), read("d/none").as_str()), ("text\n", long, ""));
    }
}
