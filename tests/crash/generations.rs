//! A new base: copied, adopted, its predecessor quarantined; then the stream goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kudu_pair::{
    launcher::volumes::Volumes,
    sidecar::{SidecarError, generation, store::AnchorStore},
    volume::Volume,
    wal::SYS_CATALOG_TABLET_ID,
};

use crate::{
    appending::{append, open},
    engine::{Promises, Scenario, end_everywhere, fail_everywhere},
    log::{end_of_log, operations, segment, write_log},
    volume::TestVolume,
};

const PAIR: &str = "demo";
const UUID: &str = "0123456789abcdef0123456789abcdef";
/// The old generation's log ends here, the base's there.
const OLD_END: i64 = 3;
const BASE_END: i64 = 5;
/// Ends of the groups that are sent after the base was taken.
const GROUPS: [i64; 2] = [6, 8];
/// A file of metadata and one of data, with the generation's name as content.
const FILES: [&str; 2] = ["wal", "data"];

struct NewBase {
    /// Whether data blocks have a volume of their own.
    two_volumes: bool,
}

impl NewBase {
    fn folders(&self, root: &Path) -> (PathBuf, PathBuf) {
        let wal = root.join("wal");
        let data = if self.two_volumes { root.join("data") } else { wal.clone() };
        (wal, data)
    }

    /// As a member begins each of its duties.
    fn tidy(&self, volume: &TestVolume, store: &AnchorStore) -> Result<(), SidecarError> {
        let (wal, data) = self.folders(volume.root());
        let current = store.current().generation;
        for leftover in generation::leftovers(&wal, &data, current.as_deref())? {
            generation::quarantine(volume, &wal, &data, &leftover)?;
        }
        Ok(())
    }

    /// As the launcher copies a base with Kudu's tool, which flushes nothing.
    fn copy(&self, volume: &TestVolume, generation: &str) -> Result<(), SidecarError> {
        let (wal, data) = self.folders(volume.root());
        let failed = |error: String| SidecarError::Coordinator(error);
        let volumes = Volumes::open_on(Arc::new(volume.clone()), &wal, &data).map_err(|e| failed(e.to_string()))?;
        let partial = volumes.begin(generation).map_err(|e| failed(e.to_string()))?;
        let log = partial.wal.join("wals").join(SYS_CATALOG_TABLET_ID);
        let segment = segment(SYS_CATALOG_TABLET_ID, 1, &operations(0, BASE_END));
        let copied = || -> std::io::Result<()> {
            for folder in [&partial.wal, &partial.data, &partial.wal.join("wals"), &log] {
                volume.create_folder(folder)?;
            }
            volume.create(&log.join("wal-000000001"), 0o644)?.write_all_at(&segment, 0)?;
            for (folder, file) in [&partial.wal, &partial.data].into_iter().zip(FILES) {
                volume.create(&folder.join(file), 0o644)?.write_all_at(generation.as_bytes(), 0)?;
            }
            Ok(())
        };
        copied().map_err(|e| failed(e.to_string()))?;
        volumes.commit(generation).map_err(|e| failed(e.to_string()))
    }

    /// Opens the control file and looks at the generation that counts.
    fn open(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(AnchorStore, String), SidecarError> {
        let (wal, data) = self.folders(volume.root());
        let store = AnchorStore::open_on(Arc::new(volume.clone()), &wal, PAIR)?;
        let counts = store.current().generation.expect("there was always one");
        let number = counts.trim_start_matches("gen-").parse().expect("a number");
        assert!(number >= promises.generation, "{counts} counts after {} did", promises.generation);
        promises.generation = number;
        for (folder, file) in [&wal, &data].into_iter().zip(FILES) {
            let content = fs::read_to_string(folder.join(&counts).join(file)).expect("a whole generation");
            assert_eq!(content, counts);
        }
        Ok((store, counts))
    }
}

/// The launcher removes what it has not finished by itself.
fn is_generation(name: &str) -> bool {
    name.starts_with("gen-") && !name.contains('.')
}

impl Scenario for NewBase {
    fn prepare(&self, root: &Path) {
        let (wal, data) = self.folders(root);
        for (folder, file) in [&wal, &data].into_iter().zip(FILES) {
            fs::create_dir_all(folder.join("gen-1")).expect("a folder");
            fs::write(folder.join("gen-1").join(file), "gen-1").expect("a file");
        }
        write_log(&generation::log_folder(&wal, "gen-1"), OLD_END);
        let store = AnchorStore::open(&wal, PAIR).expect("a control file");
        let name = generation::next(&store).expect("a control file");
        generation::adopt(&store, &name, UUID, None).expect("a control file");
    }

    fn work(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        let (store, mut counts) = self.open(volume, promises)?;
        self.tidy(volume, &store)?;
        let (wal, _) = self.folders(volume.root());
        if counts == "gen-1" {
            let name = generation::next(&store)?;
            self.copy(volume, &name)?;
            let head = open(volume, &generation::log_folder(&wal, &name), &mut promises.clone())?.last();
            generation::adopt(&store, &name, UUID, head)?;
            counts = name;
            self.tidy(volume, &store)?;
        }
        let mut log = open(volume, &generation::log_folder(&wal, &counts), promises)?;
        append(volume, &mut log, &GROUPS, promises)
    }

    fn restart(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        let (wal, data) = self.folders(volume.root());
        let (store, counts) = self.open(volume, promises)?;
        self.tidy(volume, &store)?;
        for volume in [&wal, &data] {
            let entries = fs::read_dir(volume).expect("a volume").map(|entry| entry.expect("an entry").file_name());
            let generations: Vec<_> = entries.filter(|name| is_generation(&name.to_string_lossy())).collect();
            assert_eq!(generations, [counts.as_str()], "in {}", volume.display());
        }
        let folder = generation::log_folder(&wal, &counts);
        let end = end_of_log(&folder);
        open(volume, &folder, promises)?;
        if counts == "gen-1" {
            assert_eq!(end, OLD_END);
        } else {
            assert!(end >= BASE_END, "{counts} ends at {end}");
            // Whatever only the old log held can still be read.
            assert_eq!(end_of_log(&wal.join("quarantine/gen-1")), OLD_END);
        }
        Ok(())
    }
}

#[test]
fn a_new_base_on_one_volume_ends_anywhere() {
    end_everywhere(&NewBase { two_volumes: false });
}

#[test]
fn a_new_base_on_two_volumes_ends_anywhere() {
    end_everywhere(&NewBase { two_volumes: true });
}

#[test]
fn a_new_base_fails_anywhere() {
    fail_everywhere(&NewBase { two_volumes: false });
    fail_everywhere(&NewBase { two_volumes: true });
}
