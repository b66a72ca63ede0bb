//! The custom resource itself.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    gap::SwitchBackSpec,
    replication::ReplicationSpec,
    spec::{FailoverSpec, KuduSpec, PullSecret, SchedulingSpec, StorageSpec, resources_schema},
    status::PairStatus,
    sync::AcknowledgementSpec,
};

/// An active `kudu-master` and the standbys that hold its log, behind one stable address.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "kudupair.io",
    version = "v1alpha1",
    kind = "KuduMasterPair",
    plural = "kudumasterpairs",
    singular = "kudumasterpair",
    shortname = "kmp",
    category = "kudu",
    namespaced,
    status = "PairStatus",
    derive = "PartialEq",
    doc = "An active kudu-master and the standbys that hold its log, behind one stable address.",
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch"),
    printcolumn(name = "Lag", type_ = "string", json_path = ".status.lag"),
    printcolumn(name = "Sampled", type_ = "date", json_path = ".status.lagSampledAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 52").message(
        "metadata.name: at most 52 characters, so that the names and labels made from it fit into 63; choose a shorter name"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name: small letters, digits and '-', beginning with a letter, since it becomes a Service's name"
    ),
    validation = Rule::new(AcknowledgementSpec::RULE).message(AcknowledgementSpec::MESSAGE)
)]
#[serde(rename_all = "camelCase")]
pub struct KuduMasterPairSpec {
    /// Kudu's version, image and flags.
    #[serde(default)]
    pub kudu: KuduSpec,

    /// Secrets of the pair's namespace for pulling Kudu's image and the operator's, as in `- name: registry`. A change restarts
    /// all members, standbys first. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<PullSecret>,

    /// Number of standbys beside the active, 1 to 4. Default: 1.
    #[serde(default = "default_standbys")]
    #[schemars(range(min = 1, max = 4))]
    pub standbys: i32,

    /// Volumes of each member.
    #[serde(default)]
    pub storage: StorageSpec,

    /// CPU and memory of the container that runs kudu-master, as in a pod. Default: requests of 250m CPU and 512Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// Where members may run.
    #[serde(default)]
    pub scheduling: SchedulingSpec,

    /// How a lost active is noticed and replaced, and who decides. Two masters never run at once because
    /// `renewDeadline + killTime + clockMargin < leaseDuration`: the old one is killed by its own launcher before the Lease
    /// can be taken from it.
    #[serde(default)]
    pub failover: FailoverSpec,

    /// What becomes of operations that only a lost active had, when it is back.
    #[serde(default)]
    pub switch_back: SwitchBackSpec,

    /// How the active's log gets to its standbys, and when a client is told that its operation is done.
    #[serde(default)]
    pub replication: ReplicationSpec,

    /// While true, the operator changes nothing: no failover, no switchover, no update of objects. Masters that run go
    /// on and the status is kept up to date. Default: false.
    #[serde(default)]
    pub paused: bool,
}

fn default_standbys() -> i32 {
    1
}
