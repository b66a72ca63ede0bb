//! The Lease that the active holds, as it is before anybody holds it.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ObjectMeta;

use super::{BuildInput, meta};
use crate::api::names;

/// The Lease of a pair, held by nobody, free to be taken for `epoch`.
///
/// Only ever created: to apply it over one that is there would take it from its holder.
pub fn lease(input: &BuildInput<'_>, epoch: i64) -> Lease {
    Lease {
        metadata: ObjectMeta {
            annotations: Some(BTreeMap::from([(names::EPOCH_ANNOTATION.to_owned(), epoch.to_string())])),
            ..meta::metadata(input, names::lease(input.name))
        },
        spec: Some(LeaseSpec::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn held_by_nobody() {
        insta::assert_json_snapshot!(lease(&testing::input(&testing::pair("spec: {}")), 1));
    }
}
