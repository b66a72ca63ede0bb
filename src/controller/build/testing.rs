//! Pairs for the builders' tests, from the YAML that a user would write.

use super::BuildInput;
use crate::api::KuduMasterPair;

pub(super) const OPERATOR_IMAGE: &str = "registry.example/kudu-pair:1.2.3";

/// The pair `demo` in namespace `kudu` with this `spec:`, as an API server would hand it out.
pub(super) fn pair(spec: &str) -> KuduMasterPair {
    serde_yaml::from_str(&format!(
        "apiVersion: kudupair.io/v1alpha1\nkind: KuduMasterPair\nmetadata:\n  name: demo\n  namespace: kudu\n  \
         uid: 6f1c5a52-0000-4000-8000-000000000001\n{spec}"
    ))
    .expect("a pair in YAML")
}

pub(super) fn input(pair: &KuduMasterPair) -> BuildInput<'_> {
    BuildInput::new(pair, OPERATOR_IMAGE).expect("a whole pair")
}
