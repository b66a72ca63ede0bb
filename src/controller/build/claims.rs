//! The members' volumes, and what of them cannot be changed any more.

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::ObjectMeta;

use crate::api::{StorageSpec, VolumeSpec, quantity::thousandths};

/// Volume of the log and the metadata.
pub(super) const WAL: &str = "wal";
/// Volume of the data blocks, when they have one of their own.
pub(super) const DATA: &str = "data";

/// One claim a volume, for each member.
pub(super) fn templates(storage: &StorageSpec) -> Vec<PersistentVolumeClaim> {
    let wal = (WAL, Some(&storage.wal));
    let data = (DATA, storage.data.as_ref());
    [wal, data].into_iter().filter_map(|(name, volume)| volume.map(|volume| template(name, volume))).collect()
}

fn template(name: &str, volume: &VolumeSpec) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: volume.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), volume.size.clone())].into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What `wanted` asks of the volumes that Kubernetes refuses to change in `live`: one sentence for each field, for the
/// user. Empty when `wanted` can be applied.
pub fn immutable_changes(live: &StatefulSet, wanted: &StatefulSet) -> Vec<String> {
    [WAL, DATA]
        .into_iter()
        .flat_map(|name| match (find(live, name), find(wanted, name)) {
            (Some(live), Some(wanted)) => volume_changes(name, &live, &wanted),
            (None, Some(_)) => {
                vec![format!("spec.storage.{name}: the members were made without this volume; remove it")]
            }
            (Some(_), None) => {
                vec![format!("spec.storage.{name}: the members were made with this volume; put it back")]
            }
            (None, None) => Vec::new(),
        })
        .collect()
}

/// What matters of a claim template.
struct Claim {
    size: Quantity,
    class: Option<String>,
}

fn find(set: &StatefulSet, name: &str) -> Option<Claim> {
    let claims = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let spec = claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(name))?.spec.as_ref()?;
    let size = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?.clone();
    Some(Claim { size, class: spec.storage_class_name.clone() })
}

fn volume_changes(name: &str, live: &Claim, wanted: &Claim) -> Vec<String> {
    let mut changes = Vec::new();
    if !same_quantity(&live.size, &wanted.size) {
        changes.push(format!(
            "spec.storage.{name}.size: {} is asked for, but the members' volumes were made with {}, which a StatefulSet \
             cannot change; set it back to {1}",
            wanted.size.0, live.size.0
        ));
    }
    if live.class != wanted.class {
        let show = |class: &Option<String>| class.clone().unwrap_or_else(|| "the default class".to_owned());
        changes.push(format!(
            "spec.storage.{name}.storageClassName: {} is asked for, but the members' volumes were made with {}, which a \
             StatefulSet cannot change; set it back",
            show(&wanted.class),
            show(&live.class)
        ));
    }
    changes
}

/// An API server writes sizes in its own way (`1024Mi` becomes `1Gi`), so they are compared as numbers.
fn same_quantity(a: &Quantity, b: &Quantity) -> bool {
    match (thousandths(&a.0), thousandths(&b.0)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        super::{stateful_set, testing},
        *,
    };

    fn set(storage: &str) -> StatefulSet {
        stateful_set(&testing::input(&testing::pair(&format!("spec:\n  storage: {storage}"))))
    }

    #[rstest]
    #[case::nothing_changed("{wal: {size: 1Gi}}", "{wal: {size: 1Gi}}")]
    #[case::written_in_another_way("{wal: {size: 1Gi}}", "{wal: {size: 1024Mi}}")]
    #[case::a_fraction("{wal: {size: 1536Mi}}", "{wal: {size: 1.5Gi}}")]
    #[case::decimal("{wal: {size: 1500M}}", "{wal: {size: 1.5G}}")]
    #[case::bytes("{wal: {size: 67108864}}", "{wal: {size: 64Mi}}")]
    fn what_means_the_same_can_be_applied(#[case] live: &str, #[case] wanted: &str) {
        assert_eq!(immutable_changes(&set(live), &set(wanted)), Vec::<String>::new());
    }

    #[rstest]
    #[case(
        "{wal: {size: 1Gi}}",
        "{wal: {size: 2Gi}}",
        "spec.storage.wal.size: 2Gi is asked for, but the members' volumes were made with 1Gi, which a StatefulSet cannot \
         change; set it back to 1Gi"
    )]
    #[case(
        "{wal: {size: 1Gi}}",
        "{wal: {size: 1Gi, storageClassName: fast}}",
        "spec.storage.wal.storageClassName: fast is asked for, but the members' volumes were made with the default class, \
         which a StatefulSet cannot change; set it back"
    )]
    #[case("{}", "{data: {}}", "spec.storage.data: the members were made without this volume; remove it")]
    #[case("{data: {}}", "{}", "spec.storage.data: the members were made with this volume; put it back")]
    fn what_kubernetes_refuses_is_told(#[case] live: &str, #[case] wanted: &str, #[case] told: &str) {
        assert_eq!(immutable_changes(&set(live), &set(wanted)), [told]);
    }

    #[test]
    fn sizes_in_a_notation_that_is_not_known_are_compared_as_text() {
        let quantity = |text: &str| Quantity(text.to_owned());
        assert!(same_quantity(&quantity("1e9"), &quantity("1e9")));
        assert!(!same_quantity(&quantity("1e9"), &quantity("1G")));
    }
}
