//! The containers of a member's pod.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector, Probe,
        ResourceRequirements, SecurityContext, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::{BuildInput, claims, pod};
use crate::api::names::{self, OPERATOR_PROGRAM, WAL_PATH};

/// Where the init container puts it for the Kudu container.
const LAUNCHER_PROGRAM: &str = "/opt/kudu-pair/kudu-pair";
const BIN_PATH: &str = "/opt/kudu-pair";
const RUN_PATH: &str = "/run/kudu-pair";
const LAUNCHER_SOCKET: &str = "/run/kudu-pair/launcher.sock";
const CONTROL_SOCKET: &str = "/run/kudu-pair/sidecar.sock";
/// Beside the launcher, where `install` puts it.
const GATE_LIBRARY: &str = "/opt/kudu-pair/libkudu_pair_sync_gate.so";
const GATE_SOCKET: &str = "/run/kudu-pair/gate.sock";
const DATA_PATH: &str = "/var/lib/kudu/data";
const CERTIFICATES_PATH: &str = "/etc/kudu-pair/certificates";
const API_ACCESS_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Copies the launcher out of the operator's image, so that Kudu's image stays as Apache published it.
pub(super) fn install(input: &BuildInput<'_>) -> Container {
    Container {
        name: "install".to_owned(),
        image: Some(input.operator_image.to_owned()),
        command: Some(texts([OPERATOR_PROGRAM, "install", "--to", LAUNCHER_PROGRAM])),
        volume_mounts: Some(vec![mount(pod::BIN_VOLUME, BIN_PATH)]),
        resources: Some(requests("10m", "16Mi")),
        security_context: Some(restricted()),
        ..Default::default()
    }
}

/// kudu-master under the launcher.
///
/// It has no probes: on a standby nothing runs in it for weeks, and a kubelet that restarts the active's container when a
/// probe is slow would do what the lease and the launcher do better.
pub(super) fn kudu_master(input: &BuildInput<'_>) -> Container {
    let spec = input.spec;
    let has_data_volume = spec.storage.data.is_some();
    let rpc = names::RPC_PORT;
    let mut command = texts([LAUNCHER_PROGRAM, "launcher"]);
    command.extend(options([
        ("--socket", LAUNCHER_SOCKET.to_owned()),
        ("--wal-dir", WAL_PATH.to_owned()),
        ("--data-dir", if has_data_volume { DATA_PATH } else { WAL_PATH }.to_owned()),
        ("--rpc-bind", format!("0.0.0.0:{rpc}")),
        ("--webserver-port", names::WEB_PORT.to_string()),
    ]));
    // Only the difference between with and without is in the pods; the rest the sidecar reads from the pair as it changes.
    if spec.replication.acknowledgement.is_synchronous() {
        command.extend(options([
            ("--sync-gate", GATE_LIBRARY.to_owned()),
            ("--sync-gate-socket", GATE_SOCKET.to_owned()),
        ]));
    }
    command.push("--".to_owned());
    command.extend(spec.kudu.flags.iter().map(|(flag, value)| literal(&format!("--{flag}={}", value.0))));

    let mut mounts = vec![read_only(mount(pod::BIN_VOLUME, BIN_PATH)), mount(pod::RUN_VOLUME, RUN_PATH)];
    mounts.push(mount(pod::TMP_VOLUME, "/tmp"));
    mounts.push(mount(claims::WAL, WAL_PATH));
    mounts.extend(has_data_volume.then(|| mount(claims::DATA, DATA_PATH)));

    Container {
        name: names::MASTER_CONTAINER.to_owned(),
        image: Some(spec.kudu.image()),
        image_pull_policy: Some(spec.kudu.image_pull_policy.name().to_owned()),
        command: Some(command),
        ports: Some(vec![port("rpc", rpc), port("web", names::WEB_PORT)]),
        volume_mounts: Some(mounts),
        resources: Some(spec.resources.clone().unwrap_or_else(|| requests("250m", "512Mi"))),
        security_context: Some(restricted()),
        ..Default::default()
    }
}

/// The sidecar. It reads what may change (timings, who is active) from the pair itself, so that a change of those needs no
/// new pod.
pub(super) fn replication(input: &BuildInput<'_>) -> Container {
    let has_data_volume = input.spec.storage.data.is_some();
    let mut args = texts(["sidecar"]);
    args.extend(options([
        ("--pair", input.name.to_owned()),
        ("--namespace", input.namespace.to_owned()),
        ("--member", "$(POD_NAME)".to_owned()),
        ("--pod-uid", "$(POD_UID)".to_owned()),
        ("--launcher-socket", LAUNCHER_SOCKET.to_owned()),
        ("--control-socket", CONTROL_SOCKET.to_owned()),
        ("--wal-dir", WAL_PATH.to_owned()),
        ("--data-dir", if has_data_volume { DATA_PATH } else { WAL_PATH }.to_owned()),
        ("--link-listen", format!("0.0.0.0:{}", names::LINK_PORT)),
        ("--report-listen", format!("0.0.0.0:{}", names::REPORT_PORT)),
        ("--certificates", CERTIFICATES_PATH.to_owned()),
    ]));
    if input.spec.replication.acknowledgement.is_synchronous() {
        args.extend(options([("--sync-gate-socket", GATE_SOCKET.to_owned())]));
    }
    let mut mounts = vec![
        mount(pod::RUN_VOLUME, RUN_PATH),
        mount(claims::WAL, WAL_PATH),
        read_only(mount(pod::API_ACCESS_VOLUME, API_ACCESS_PATH)),
        read_only(mount(pod::CERTIFICATES_VOLUME, CERTIFICATES_PATH)),
    ];
    mounts.extend(has_data_volume.then(|| mount(claims::DATA, DATA_PATH)));
    Container {
        name: names::REPLICATION_CONTAINER.to_owned(),
        image: Some(input.operator_image.to_owned()),
        command: Some(texts([OPERATOR_PROGRAM])),
        args: Some(args),
        env: Some(vec![from_pod("POD_NAME", "metadata.name"), from_pod("POD_UID", "metadata.uid")]),
        ports: Some(vec![port("link", names::LINK_PORT), port("report", names::REPORT_PORT)]),
        volume_mounts: Some(mounts),
        // Drains wait for readiness, so it must not lag behind the truth by ten seconds.
        readiness_probe: Some(http_probe("/ready", 1, 3)),
        liveness_probe: Some(http_probe("/health", 10, 3)),
        // No limits: a sidecar that is throttled or killed for memory would cost the active its lease.
        resources: Some(requests("50m", "64Mi")),
        security_context: Some(restricted()),
        ..Default::default()
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn options<const N: usize>(options: [(&str, String); N]) -> impl Iterator<Item = String> {
    options.into_iter().flat_map(|(name, value)| [name.to_owned(), value])
}

/// Kubernetes would replace `$(NAME)` in a command; doubled, a `$` stands for itself.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount }
}

fn from_pod(variable: &str, field: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: field.to_owned(), api_version: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn http_probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("report".to_owned()),
            ..Default::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(period_seconds.min(5)),
        failure_threshold: Some(failure_threshold),
        ..Default::default()
    }
}

fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let amounts =
        [("cpu", cpu), ("memory", memory)].map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
    ResourceRequirements { requests: Some(amounts.into()), ..Default::default() }
}

/// As tight as the `restricted` pod security standard, and a read-only root file system.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(texts(["ALL"])), add: None }),
        ..Default::default()
    }
}
