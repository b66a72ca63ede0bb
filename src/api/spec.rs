//! What a user asks for.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Toleration, apimachinery::pkg::api::resource::Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{failover::FailoverMode, sync::WhenDegraded};

/// Flags of kudu-master that the operator sets itself, and that a user may therefore not set: addresses and folders
/// that follow from the pod, and limits without which a promotion fails or shows clients an error.
pub const RESERVED_FLAGS: [&str; 27] = [
    "catalog_manager_check_ts_count_for_create_table",
    "daemon",
    "encrypt_data_at_rest",
    "env_use_fsync",
    "flagfile",
    "fromenv",
    "fs_data_dirs",
    "fs_metadata_dir",
    "fs_wal_dir",
    "help",
    "helpxml",
    "log_dir",
    "log_filename",
    "log_force_fsync_all",
    "logtostderr",
    "master_addresses",
    "master_failover_catchup_timeout_ms",
    "rpc_advertised_addresses",
    "rpc_bind_addresses",
    "tablet_transaction_memory_limit_mb",
    "tryfromenv",
    "version",
    "webserver_advertised_addresses",
    "webserver_doc_root",
    "webserver_enabled",
    "webserver_interface",
    "webserver_port",
];

/// The API server's rules for flags.
///
/// One rule for each reserved flag, though one could filter them all: the names in a map have no longest length, so what
/// it would cost to put them into a message is more than an API server allows.
fn flag_rules() -> Vec<serde_json::Value> {
    let reserved = RESERVED_FLAGS.map(|flag| {
        serde_json::json!({
            // gflags reads `--nodaemon` as `--daemon=false`.
            "rule": format!("!('{flag}' in self || 'no{flag}' in self)"),
            "message": format!("{flag}: this flag is reserved for the operator; remove it"),
        })
    });
    let malformed = "self.filter(name, !name.matches('^[a-z][a-z0-9_]*$'))";
    let well_formed = serde_json::json!({
        "rule": format!("size({malformed}) == 0"),
        "message": "write a flag's name without dashes in front and with _ inside, as in default_num_replicas",
        "messageExpression": format!(
            "{malformed}[0] + ': write the name without dashes in front and with _ inside, as in default_num_replicas'"
        ),
    });
    reserved.into_iter().chain([well_formed]).collect()
}

/// Kudu's version, image and flags.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct KuduSpec {
    /// Kudu's version, as in `1.18.1`. Tried with 1.17.1 and 1.18.1. Default: `1.18.1`.
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))]
    pub version: String,

    /// Image with Kudu's programs. It must have a user with the id 1000, as Apache's has: members run as that user.
    /// Default: `apache/kudu:<version>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,

    /// When the kubelet pulls the image: `Always`, `IfNotPresent` or `Never`. Default: `IfNotPresent`.
    pub image_pull_policy: ImagePullPolicy,

    /// Flags of kudu-master, by name without dashes, as in `default_num_replicas: "1"`. Those that the operator sets
    /// itself are refused. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128, "x-kubernetes-validations" = flag_rules()))]
    pub flags: BTreeMap<String, FlagValue>,
}

/// The value of one flag, as text.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(transparent)]
#[schemars(inline, extend("maxLength" = 4096))]
pub struct FlagValue(pub String);

impl Default for KuduSpec {
    fn default() -> Self {
        Self {
            version: "1.18.1".to_owned(),
            image: None,
            image_pull_policy: ImagePullPolicy::IfNotPresent,
            flags: BTreeMap::new(),
        }
    }
}

impl KuduSpec {
    /// The image that members run.
    pub fn image(&self) -> String {
        self.image.clone().unwrap_or_else(|| format!("apache/kudu:{}", self.version))
    }
}

/// When the kubelet pulls an image.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum ImagePullPolicy {
    /// At each start of a pod.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// The image must be on the node.
    Never,
}

impl ImagePullPolicy {
    /// The name that Kubernetes knows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A Secret for pulling images.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[schemars(inline)]
pub struct PullSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Volumes of each member.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.data) == has(oldSelf.data)",
    "fieldPath": ".data",
    "message": "a data volume cannot be added to or removed from an existing pair; make a new pair",
}]))]
pub struct StorageSpec {
    /// Volume of the log, the metadata and, without `data`, the data blocks. Default: 10Gi of the default class.
    pub wal: VolumeSpec,
    /// A second volume for the data blocks. Default: none, they live on the `wal` volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<VolumeSpec>,
}

/// One volume of a member.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    /// Size, as in `10Gi`; at least 64Mi. Default: `10Gi`.
    #[schemars(schema_with = "size_schema")]
    pub size: Quantity,
    /// StorageClass. Default: the cluster's default class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self { size: Quantity("10Gi".to_owned()), storage_class_name: None }
    }
}

/// The API server checks a size at once, so that the error names the field and not a volume claim.
fn size_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "isQuantity(self)",
            "messageExpression": "self + ': no quantity; write a number and a unit, as in 10Gi'",
            "message": "no quantity; write a number and a unit, as in 10Gi"
        }, {
            "rule": "!isQuantity(self) || quantity(self).compareTo(quantity('64Mi')) >= 0",
            "message": "at least 64Mi; Kudu preallocates its log in pieces of 8 MiB, and a base copy needs room beside the old one"
        }]
    })
}

/// CPU and memory as in a pod, less what only a pod can give a meaning to (`claims`).
pub(super) fn resources_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let amounts = |description: &str| {
        serde_json::json!({
            "type": "object",
            "description": description,
            "maxProperties": 16,
            "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32 },
            "x-kubernetes-validations": [{
                "rule": "self.all(name, type(self[name]) == int || isQuantity(string(self[name])))",
                "message": "not a quantity; write a number and a unit, as in 500m or 2Gi"
            }]
        })
    };
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": amounts("What the node keeps free for the container, as in `cpu: 500m` and `memory: 2Gi`."),
            "limits": amounts("What the container may use at most. A memory limit that is too small kills the active.")
        }
    })
}

/// Where members may run.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulingSpec {
    /// Whether two members may share a topology domain. Default: `Required` (they may not).
    pub anti_affinity: AntiAffinity,
    /// Label of nodes that names the domain that members must not share. Default: `kubernetes.io/hostname`.
    #[schemars(length(min = 1))]
    pub topology_key: String,
    /// Labels that a node must have. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that members put up with. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// PriorityClass of the members' pods. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

impl Default for SchedulingSpec {
    fn default() -> Self {
        Self {
            anti_affinity: AntiAffinity::Required,
            topology_key: "kubernetes.io/hostname".to_owned(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            priority_class_name: None,
        }
    }
}

/// Whether two members may share a topology domain.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum AntiAffinity {
    /// Never: a member that finds no other domain stays pending.
    #[default]
    Required,
    /// Only when there is no other place.
    Preferred,
}

/// How a lost active is noticed and replaced.
///
/// Two masters never run at once because `renewDeadline + killTime + clockMargin < leaseDuration`: the old one is
/// killed by its own launcher before the Lease can be taken from it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.renewDeadlineMilliseconds + self.killTimeMilliseconds + self.clockMarginMilliseconds < self.leaseDurationMilliseconds",
    "message": "renewDeadlineMilliseconds + killTimeMilliseconds + clockMarginMilliseconds must be less than leaseDurationMilliseconds, or two masters could run at once; raise leaseDurationMilliseconds",
}, {
    "rule": "self.renewIntervalMilliseconds * 2 <= self.renewDeadlineMilliseconds",
    "message": "renewIntervalMilliseconds must be at most half of renewDeadlineMilliseconds, so that one lost renewal does not stop the active; lower renewIntervalMilliseconds",
}]))]
pub struct FailoverSpec {
    /// Who decides that another member takes over from a lost active: `Automatic`, the operator; `Approval`, a person who approves
    /// what the operator proposes; `Off`, only a person's own request (in YAML with quotes: `"Off"`). Default: `Automatic`.
    pub mode: FailoverMode,
    /// Most operations that a failover may lose without a person's approval, where the active acknowledges by itself. What is known
    /// to be lost counts; a loss that is not proven to be none is refused by `0`. Default: 10000, by which a standby may be
    /// behind and still counts as in sync.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_loss_ops: i64,
    /// How old what a member lacks may be at most, in seconds: the time from the last moment at which it is known to have had all
    /// of the active's log until the active was dead. It bounds what nobody can count. Below the lease duration no active that goes
    /// silent is replaced without approval. Default: 60, ten times what passes with the default times until the Lease of
    /// an active that went silent is over.
    #[schemars(range(min = 0, max = 86_400))]
    pub max_loss_seconds: i32,
    /// So many failovers within an hour are made at once. Before each one more the operator waits since the last one: one minute,
    /// then two, four, eight, then a quarter of an hour each, or until a person approves it. Above 10 there is no pause. Default: 3,
    /// so that two members lost one after the other, and the first one again, cost no pause.
    #[schemars(range(min = 1, max = 1000))]
    pub failovers_per_hour: i32,
    /// In `Automatic`, whether that also holds when the active was the only one that had what it acknowledged, which only synchronous modes
    /// know: `Refuse` or `Promote`. Default: `Refuse`.
    pub when_degraded: WhenDegraded,
    /// After so long without a renewal the Lease of the active is over and another member may take it. Default: 6000,
    /// which keeps a failover under 10 s and outlasts a restart of the API server of a few seconds.
    #[schemars(range(min = 1000, max = 120_000))]
    pub lease_duration_milliseconds: i32,
    /// After so long without a successful renewal the launcher kills the active's kudu-master. Default: 4000.
    #[schemars(range(min = 500, max = 100_000))]
    pub renew_deadline_milliseconds: i32,
    /// Time between two renewals. Default: 1000.
    #[schemars(range(min = 100, max = 30_000))]
    pub renew_interval_milliseconds: i32,
    /// Longest time that a kill of kudu-master may take. Default: 1000, over four times the longest of 0.22 s that was
    /// measured.
    #[schemars(range(min = 100, max = 10_000))]
    pub kill_time_milliseconds: i32,
    /// Allowance for clocks that run at different speeds. Default: 500.
    #[schemars(range(min = 50, max = 10_000))]
    pub clock_margin_milliseconds: i32,
    /// What becomes of an active that cannot reach the API server: `Continue`, while every other member says over the
    /// replication link that it will not take over, or `Stop` when its renewal is due. Default: `Continue`.
    pub api_server_loss: ApiServerLoss,
    /// A planned switch that is not done after so long goes back to the old active. Default: 30000, the time that a
    /// Kudu client gives an administrative operation.
    #[schemars(range(min = 5000, max = 600_000))]
    pub switchover_timeout_milliseconds: i32,
}

impl Default for FailoverSpec {
    fn default() -> Self {
        Self {
            mode: FailoverMode::Automatic,
            max_loss_ops: 10_000,
            max_loss_seconds: 60,
            failovers_per_hour: 3,
            when_degraded: WhenDegraded::Refuse,
            lease_duration_milliseconds: 6000,
            renew_deadline_milliseconds: 4000,
            renew_interval_milliseconds: 1000,
            kill_time_milliseconds: 1000,
            clock_margin_milliseconds: 500,
            api_server_loss: ApiServerLoss::Continue,
            switchover_timeout_milliseconds: 30_000,
        }
    }
}

/// What becomes of an active that cannot reach the API server.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum ApiServerLoss {
    /// It serves on while every other member of the pair follows it, cannot reach the API server either, and pledges not to take
    /// over; as soon as one does not, it is killed in time.
    #[default]
    Continue,
    /// It is killed `renewDeadlineMilliseconds` after its last renewal, and starts again when the API server answers.
    Stop,
}
