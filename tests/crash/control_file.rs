//! The control file: after whatever, the old or the new one is there.

use std::{path::Path, sync::Arc};

use kudu_pair::sidecar::{SidecarError, store::AnchorStore};

use crate::{
    engine::{Promises, Scenario, end_everywhere, fail_everywhere},
    volume::TestVolume,
};

const PAIR: &str = "demo";
/// The epochs that are obeyed, one after the other.
const LAST_EPOCH: i64 = 4;

/// A member obeys one epoch after the other; whether there is a control file before.
struct Epochs {
    begun: bool,
}

/// Opens the control file, and promises what is in it: the member reports it.
fn open(volume: &TestVolume, promises: &mut Promises) -> Result<AnchorStore, SidecarError> {
    let store = AnchorStore::open_on(Arc::new(volume.clone()), volume.root(), PAIR)?;
    let epoch = store.current().epoch;
    assert!(epoch >= promises.epoch, "epoch {epoch} after {} was obeyed", promises.epoch);
    assert!(epoch <= LAST_EPOCH, "epoch {epoch} was never obeyed");
    promises.epoch = epoch;
    Ok(store)
}

impl Scenario for Epochs {
    fn prepare(&self, root: &Path) {
        if self.begun {
            let store = AnchorStore::open(root, PAIR).expect("a control file");
            store.update(|anchors| anchors.epoch = 1).expect("a control file");
        }
    }

    fn work(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        let store = open(volume, promises)?;
        for epoch in promises.epoch + 1..=LAST_EPOCH {
            store.update(|anchors| anchors.epoch = epoch)?;
            volume.step("obey").map_err(|source| SidecarError::Link { peer: "the active".to_owned(), source })?;
            promises.epoch = epoch;
        }
        Ok(())
    }

    fn restart(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        open(volume, promises).map(drop)
    }
}

#[test]
fn the_control_file_is_old_or_new_wherever_its_writing_ends() {
    end_everywhere(&Epochs { begun: false });
    end_everywhere(&Epochs { begun: true });
}

#[test]
fn the_control_file_is_old_or_new_wherever_its_writing_fails() {
    fail_everywhere(&Epochs { begun: false });
    fail_everywhere(&Epochs { begun: true });
}
