//! Names that are part of the interface: API group, annotations, labels, ports, and the names of a pair's objects.

/// API group of the custom resources, and prefix of labels and annotations.
pub const GROUP: &str = "kudupair.io";
/// Version of the API.
pub const VERSION: &str = "v1alpha1";
/// Name under which the operator applies fields (server-side apply).
pub const FIELD_MANAGER: &str = "kudu-pair";

/// Annotation on a pair that asks for a switchover: a member's name, or `any`.
///
/// The value is a request: each new value is answered once, in `status.switchover`.
pub const SWITCHOVER_ANNOTATION: &str = "kudupair.io/switchover";
/// The value of [`SWITCHOVER_ANNOTATION`] that leaves the choice of the member to the operator.
pub const SWITCHOVER_ANY: &str = "any";

/// Annotation on a pair that asks what becomes of a gap: `replay` or `discard`, `:` and the gap's name, and perhaps `@` and
/// something that makes the request new.
pub const GAP_ANNOTATION: &str = "kudupair.io/gap";

/// Annotation on a pair that asks whether a switchover could be made: a value of [`SWITCHOVER_ANNOTATION`].
///
/// Each new value is answered once, in `status.switchoverDryRun`; nothing is done.
pub const DRY_RUN_ANNOTATION: &str = "kudupair.io/switchover-dry-run";
/// Annotation on a pair that keeps members from serving: their names, with commas between them.
///
/// It holds as long as it stands there, and is not a request that is answered once.
pub const FENCED_ANNOTATION: &str = "kudupair.io/fenced";
/// Annotation on a pair in which the kubectl plugin keeps the drills that were made (JSON, the newest first).
pub const DRILLS_ANNOTATION: &str = "kudupair.io/drills";
/// Annotation on a pair by which a person approves a failover: the value that the condition `Ready` asks for,
/// `<epoch>/<member>/<operations lost>`. Any other value approves nothing.
pub const APPROVAL_ANNOTATION: &str = "kudupair.io/approve-failover";

/// Label with the pair's name on everything that belongs to it.
pub const PAIR_LABEL: &str = "kudupair.io/pair";
/// Label that the StatefulSet controller puts on each pod; the pair's Service selects the active by it.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// Annotation on the pair's Lease: the epoch for which it may be held.
pub const EPOCH_ANNOTATION: &str = "kudupair.io/epoch";
/// Annotation on the pair's Lease: the last operation in the log of the holder that released it.
pub const FINAL_HEAD_ANNOTATION: &str = "kudupair.io/final-head";

/// Annotation on the pair's Lease: how many milliseconds its last holder took it for. The Lease's own field counts whole seconds.
pub const LEASE_DURATION_ANNOTATION: &str = "kudupair.io/lease-duration-milliseconds";

/// Annotation on the pair's Lease: which standbys have what its holder has acknowledged (`SyncRecord`, JSON).
pub const SYNC_ANNOTATION: &str = "kudupair.io/sync";

/// Annotation on the pair's Lease: the members that may take it after its holder, with commas between them; its holder goes on
/// without the API server while all of them pledge not to. Absent: whoever is ordered to may take it.
pub const ROSTER_ANNOTATION: &str = "kudupair.io/roster";

/// Port of kudu-master's RPC service, in pods and on the pair's Service.
pub const RPC_PORT: i32 = 7051;
/// Port of kudu-master's web pages, in pods and on the pair's Service.
pub const WEB_PORT: i32 = 8051;
/// Port on which the active's sidecar serves its log to the standbys.
pub const LINK_PORT: i32 = 7061;
/// Port of each sidecar's read-only report, health and readiness.
pub const REPORT_PORT: i32 = 8061;

/// Container that runs kudu-master under the launcher.
pub const MASTER_CONTAINER: &str = "kudu-master";
/// Container that runs the sidecar.
pub const REPLICATION_CONTAINER: &str = "replication";
/// The operator's program in its image.
pub const OPERATOR_PROGRAM: &str = "/kudu-pair";
/// Where a member's pod has the volume of the log.
pub const WAL_PATH: &str = "/var/lib/kudu/wal";

/// The condition that says whether members encrypt what they say to each other.
pub const STREAM_ENCRYPTED: &str = "StreamEncrypted";

/// Most members that a pair can have. Their certificates are mounted into every pod, since another number of standbys must not
/// change the pods.
pub const MAX_MEMBERS: i32 = 5;

/// Longest name of a pair: a pod's name is `<pair>-N` and the StatefulSet adds `-<hash of 10>` as a label value, which
/// must fit into 63 characters.
pub const PAIR_NAME_MAX_CHARS: usize = 52;

/// Name of member `ordinal`'s pod.
pub fn member(pair: &str, ordinal: i32) -> String {
    format!("{pair}-{ordinal}")
}

/// All members' names of a pair with so many standbys, the first one first.
pub fn members(pair: &str, standbys: i32) -> Vec<String> {
    (0..=standbys).map(|ordinal| member(pair, ordinal)).collect()
}

/// Name of the Service that follows the active.
pub fn service(pair: &str) -> String {
    pair.to_owned()
}

/// Name of the headless Service that gives each member an address.
pub fn members_service(pair: &str) -> String {
    format!("{pair}-members")
}

/// Name of the Lease that the active holds.
pub fn lease(pair: &str) -> String {
    format!("{pair}-active")
}

/// DNS name of one member inside its namespace's search path.
pub fn member_host(pair: &str, member: &str, namespace: &str) -> String {
    format!("{member}.{}.{namespace}.svc", members_service(pair))
}

/// Name of the Secret with the authority of a pair's members. Only the operator reads it.
pub fn authority_secret(pair: &str) -> String {
    format!("{pair}-replication-ca")
}

/// Name of the Secret with a member's certificate that the operator issued.
pub fn managed_secret(member: &str) -> String {
    format!("{member}-replication-tls")
}

/// Name of cert-manager's Certificate for a member, and of the Secret that cert-manager puts it into.
pub fn cert_manager_secret(member: &str) -> String {
    format!("{member}-replication-cert-manager")
}
