//! Observations to start from.

use std::time::Duration;

use jiff::Timestamp;
use kudu_pair::{
    api::{
        Catalog, KuduMasterPair, LogFault, MemberState, MemberStatus, PairStatus, Role, SwitchKind, SwitchRecord,
        SwitchStep, UnfitLog,
        names::{APPROVAL_ANNOTATION, SWITCHOVER_ANNOTATION},
    },
    failover::{
        action::{Action, Decision},
        lease::LeaseSeen,
        member::{LagReport, LinkEncryption, MemberReport, StandbyReport, VerifiedReport},
        observation::{Heard, MemberSeen, Observation, PodSeen},
    },
    wal::OpId,
};

pub(crate) const UUID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const EPOCH: i64 = 3;

pub(crate) fn op(index: i64) -> OpId {
    OpId::new(EPOCH * 1_000_000, index)
}

pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn report(name: &str) -> MemberReport {
    MemberReport {
        pair: "demo".to_owned(),
        member: name.to_owned(),
        identity: format!("{name}/uid-{name}/i1"),
        epoch: EPOCH,
        role: Role::Unknown,
        state: MemberState::Waiting,
        has_catalog: false,
        catalog_uuid: None,
        head: None,
        applied_head: None,
        active_head: None,
        active_heard_milliseconds_ago: None,
        standbys: Vec::new(),
        master_stopped: true,
        encryption: Some(LinkEncryption::Tls),
        gap: None,
        gaps: Vec::new(),
        sync: None,
        stay: None,
        pending_ops: None,
        pending_bytes: None,
        predicted_replay_milliseconds: None,
        verified: None,
        unfit: None,
        kill_milliseconds: None,
        base_bytes: None,
        message: None,
    }
}

/// A member that the spec asks for and that has no pod yet.
pub(crate) fn add_member(seen: &mut Observation, name: &str) {
    seen.pair.spec.standbys += 1;
    seen.members.push(MemberSeen { name: name.to_owned(), pod: None, heard: None });
}

fn member(report: MemberReport) -> MemberSeen {
    let name = report.member.clone();
    let pod = PodSeen {
        uid: format!("uid-{name}"),
        revision: Some("r1".to_owned()),
        ready: true,
        deleting: false,
        age: Duration::from_secs(3600),
    };
    MemberSeen { name, pod: Some(pod), heard: Some(Heard { report, ago: ms(100) }) }
}

/// A pair that was just created: one standby, no status.
pub(crate) fn created() -> Observation {
    let pair: KuduMasterPair = serde_json::from_value(serde_json::json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair",
        "metadata": { "name": "demo", "namespace": "kudu", "generation": 1 },
        "spec": {}
    }))
    .unwrap();
    let members = ["demo-0", "demo-1"].map(|name| member(MemberReport { epoch: 0, ..report(name) }));
    Observation {
        pair,
        lease: None,
        members: members.into(),
        update_revision: Some("r1".to_owned()),
        service_active: None,
        active_head: None,
        certificates: None,
        status_written_ago: Some(ms(200)),
        fresh_uuid: UUID.to_owned(),
        now: now(),
    }
}

/// A pair in its third reign: demo-0 serves, demo-1 streams, both at op 100.
pub(crate) fn running() -> Observation {
    running_with(1)
}

/// The same with so many standbys.
pub(crate) fn running_with(standbys: i32) -> Observation {
    let mut seen = created();
    seen.pair.spec.standbys = standbys;
    seen.pair.status = Some(PairStatus {
        active: Some("demo-0".to_owned()),
        epoch: EPOCH,
        catalog: Some(Catalog { uuid: UUID.to_owned(), formatted: true }),
        ..PairStatus::default()
    });
    seen.service_active = Some("demo-0".to_owned());
    seen.active_head = Some(op(100));
    seen.lease = Some(LeaseSeen {
        resource_version: "50".to_owned(),
        holder: Some("demo-0/uid-demo-0/i1".to_owned()),
        epoch: EPOCH,
        final_head: None,
        sync: None,
        duration: Some(ms(6_000)),
        unchanged_for: ms(500),
    });
    let catalog = |name: &str| MemberReport {
        has_catalog: true,
        catalog_uuid: Some(UUID.to_owned()),
        head: Some(op(100)),
        ..report(name)
    };
    let active = MemberReport {
        role: Role::Active,
        state: MemberState::Serving,
        applied_head: Some(op(100)),
        master_stopped: false,
        standbys: (1..=standbys).map(|ordinal| fed(&format!("demo-{ordinal}"))).collect(),
        ..catalog("demo-0")
    };
    let standby = |name: &str| MemberReport {
        role: Role::Standby,
        state: MemberState::Streaming,
        active_head: Some(op(100)),
        active_heard_milliseconds_ago: Some(50),
        verified: Some(VerifiedReport { from: op(40), head: op(100), milliseconds_ago: 900 }),
        ..catalog(name)
    };
    seen.members = vec![member(active)];
    seen.members.extend((1..=standbys).map(|ordinal| member(standby(&format!("demo-{ordinal}")))));
    seen
}

/// A standby that has everything, as its active knows it.
fn fed(name: &str) -> StandbyReport {
    let lag = LagReport { ops: Some(0), bytes: Some(0), milliseconds: Some(0), sample_milliseconds_ago: 100 };
    StandbyReport {
        member: name.to_owned(),
        replicate_head: Some(op(100)),
        heard_milliseconds_ago: 100,
        lag: Some(lag),
    }
}

/// The log of this member was found unfit, and nothing has taken its place yet.
pub(crate) fn make_unfit(seen: &mut Observation, name: &str) {
    let report = report_mut(seen, name);
    report.unfit = Some(UnfitLog {
        generation: "gen-2".to_owned(),
        epoch: EPOCH,
        fault: LogFault::Differs,
        message: "other bytes behind 3000000.60".to_owned(),
        replaced: false,
    });
    (report.state, report.verified) = (MemberState::CopyingBase, None);
}

/// How far behind the active of [`running`] says that demo-1 is.
pub(crate) fn lag_mut(seen: &mut Observation) -> &mut LagReport {
    report_mut(seen, "demo-0").standbys[0].lag.as_mut().unwrap()
}

/// The active's node is gone: it does not answer, its Lease was not renewed, its standbys have lost it.
pub(crate) fn active_lost(mut seen: Observation) -> Observation {
    status_mut(&mut seen).members = seen
        .members
        .iter()
        .map(|member| MemberStatus {
            name: member.name.clone(),
            role: Role::Unknown,
            state: MemberState::Unreachable,
            head: Some(op(100)),
            lag_ops: None,
            lag_bytes: None,
            lag_milliseconds: None,
            lag_sampled_at: None,
            caught_up_at: Some("2026-03-01T11:59:53Z".parse::<Timestamp>().unwrap().into()),
            pending_ops: None,
            predicted_replay_milliseconds: None,
            verified_head: None,
            verified_at: None,
            unfit_log: None,
            kill_milliseconds: None,
            message: None,
        })
        .collect();
    member_mut(&mut seen, "demo-0").heard.as_mut().unwrap().ago = ms(6_500);
    lease_mut(&mut seen).unchanged_for = ms(6_000);
    for standby in seen.members.iter_mut().skip(1) {
        let report = &mut standby.heard.as_mut().unwrap().report;
        report.active_heard_milliseconds_ago = Some(6_000);
        report.state = MemberState::Connecting;
    }
    seen
}

/// A failover from demo-0 that has been recorded and fenced so long ago.
pub(crate) fn fenced(mut seen: Observation, ago: Duration) -> Observation {
    seen = with_switch(
        seen,
        SwitchRecord {
            recorded_head: Some(op(100)),
            lost_at: Some("2026-03-01T11:59:53Z".parse::<Timestamp>().unwrap().into()),
            ..switch(SwitchKind::Failover, SwitchStep::Fencing)
        },
    );
    let lease = lease_mut(&mut seen);
    lease.holder = None;
    lease.epoch = EPOCH + 1;
    lease.unchanged_for = ago;
    seen
}

/// The record of a switch from demo-0 to the fourth reign, begun two seconds ago.
pub(crate) fn switch(kind: SwitchKind, step: SwitchStep) -> SwitchRecord {
    let started_at = "2026-03-01T11:59:58Z".parse().unwrap();
    SwitchRecord { from: Some("demo-0".to_owned()), ..SwitchRecord::new(kind, EPOCH + 1, step, started_at) }
}

pub(crate) fn with_switch(mut seen: Observation, switch: SwitchRecord) -> Observation {
    status_mut(&mut seen).switch = Some(switch);
    seen
}

pub(crate) fn status_mut(seen: &mut Observation) -> &mut PairStatus {
    seen.pair.status.get_or_insert_default()
}

pub(crate) fn lease_mut(seen: &mut Observation) -> &mut LeaseSeen {
    seen.lease.as_mut().unwrap()
}

pub(crate) fn member_mut<'a>(seen: &'a mut Observation, name: &str) -> &'a mut MemberSeen {
    seen.members.iter_mut().find(|member| member.name == name).unwrap()
}

pub(crate) fn report_mut<'a>(seen: &'a mut Observation, name: &str) -> &'a mut MemberReport {
    let heard = member_mut(seen, name).heard.as_mut().unwrap();
    heard.ago = ms(50);
    &mut heard.report
}

pub(crate) fn silence(seen: &mut Observation, name: &str) {
    member_mut(seen, name).heard = None;
}

pub(crate) fn annotate(seen: &mut Observation, request: &str) {
    annotate_as(seen, SWITCHOVER_ANNOTATION, request);
}

pub(crate) fn approve(seen: &mut Observation, value: &str) {
    annotate_as(seen, APPROVAL_ANNOTATION, value);
}

pub(crate) fn annotate_as(seen: &mut Observation, annotation: &str, value: &str) {
    let annotations = seen.pair.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation.to_owned(), value.to_owned());
}

/// The status that a decision writes.
pub(crate) fn written(decision: &Decision) -> &PairStatus {
    decision
        .actions
        .iter()
        .find_map(|action| match action {
            Action::WriteStatus(status) => Some(status.as_ref()),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no status is written: {:?}", decision.actions))
}

/// The switch in the status that a decision writes.
pub(crate) fn recorded(decision: &Decision) -> &SwitchRecord {
    written(decision).switch.as_ref().unwrap_or_else(|| panic!("no switch: {:?}", decision.actions))
}

/// What a decision does beside writing the status and telling.
pub(crate) fn effects(decision: &Decision) -> Vec<&Action> {
    decision
        .actions
        .iter()
        .filter(|action| !matches!(action, Action::WriteStatus(_) | Action::Event(_) | Action::ApplyObjects { .. }))
        .collect()
}

/// Why things wait, as the status says it.
pub(crate) fn waits(decision: &Decision) -> String {
    let status = written(decision);
    match &status.switch {
        Some(switch) => switch.waiting_for.clone().unwrap_or_default(),
        None => condition(decision, "Ready").message,
    }
}

pub(crate) fn condition(decision: &Decision, type_: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    written(decision).conditions.iter().find(|condition| condition.type_ == type_).unwrap().clone()
}
