//! What pairs are like, by their statuses.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    registry::Unit::{Bytes, Seconds},
};

use super::{
    Labels,
    gauge::{self, Gauge, Sample, number, one, seconds, time},
};
use crate::{
    api::{GapStatus, KuduMasterPairSpec, MemberState, MemberStatus, PairStatus, Receipt, Role},
    wal::OpId,
};

/// A pair, what is asked of it and what it is like.
#[derive(Debug, Clone)]
pub struct PairView {
    /// Where the pair is.
    pub namespace: String,
    /// The pair.
    pub name: String,
    /// What is asked of it.
    pub spec: KuduMasterPairSpec,
    /// What is known of it.
    pub status: PairStatus,
}

/// All pairs, at a scrape.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<PairView>);

impl Collector for Pairs {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let labels = |pair: &PairView| vec![("namespace", pair.namespace.clone()), ("pair", pair.name.clone())];
        let pairs = self.0.iter();
        gauge::encode(&mut encoder, ASKED, pairs.clone().map(|pair| (labels(pair), &pair.spec)))?;
        gauge::encode(&mut encoder, GAUGES, pairs.map(|pair| (labels(pair), &pair.status)))
    }
}

/// What is asked of a pair, to compare with what it is like.
const ASKED: &[Gauge<KuduMasterPairSpec>] = &[
    Gauge {
        name: "standbys_wanted",
        unit: None,
        help: "Standbys that the spec asks for",
        samples: |spec| one(spec.standbys.into()),
    },
    Gauge {
        name: "kill_time_limit",
        unit: Some(Seconds),
        help: "How long the kill of a kudu-master may take: spec.failover.killTimeMilliseconds",
        samples: |spec| one(seconds(spec.failover.kill_time_milliseconds.into())),
    },
    Gauge {
        name: "replay_limit",
        unit: Some(Seconds),
        help: "How long a promotion may replay before a standby takes a new base: spec.replication.refresh.replayMilliseconds",
        samples: |spec| one(seconds(spec.replication.refresh.replay_milliseconds.into())),
    },
    Gauge {
        name: "renew_deadline",
        unit: Some(Seconds),
        help: "How long a kudu-master runs after the last renewal of its Lease: spec.failover.renewDeadlineMilliseconds",
        samples: |spec| one(seconds(spec.failover.renew_deadline_milliseconds.into())),
    },
];

/// Everything that is told of a pair.
const GAUGES: &[Gauge<PairStatus>] = &[
    Gauge {
        name: "epoch",
        unit: None,
        help: "Number of the active's reign",
        samples: |status| one(number(status.epoch)),
    },
    Gauge {
        name: "active",
        unit: None,
        help: "1 for the member that serves, or served last",
        samples: |status| status.active.iter().map(|active| (vec![("member", active.clone())], 1.0)).collect(),
    },
    Gauge {
        name: "phase",
        unit: None,
        help: "1 for the phase that the pair is in",
        samples: |status| status.phase.iter().map(|phase| (vec![("phase", format!("{phase:?}"))], 1.0)).collect(),
    },
    Gauge {
        name: "condition",
        unit: None,
        help: "1 for the status (True, False or Unknown) that a condition has, and why",
        samples: conditions,
    },
    Gauge { name: "member_state", unit: None, help: "1 for what a member is and does", samples: states },
    Gauge {
        name: "standbys_promotable",
        unit: None,
        help: "Standbys that stream the active's log, are known to be so far behind, whose log is fit, and that are not fenced",
        samples: |status| one(status.members.iter().filter(|member| is_promotable(status, member)).count() as f64),
    },
    Gauge {
        name: "member_verified_timestamp",
        unit: Some(Seconds),
        help: "When a standby's log was compared with the active's last and found equal, in seconds since 1970",
        samples: |status| of_members(status, |member| Some(time(member.verified_at.as_ref()?.0))),
    },
    Gauge {
        name: "gap_ops",
        unit: None,
        help: "Operations that a member keeps and the active does not have, by what became of them",
        samples: |status| of_gaps(status, |gap| number(gap.ops)),
    },
    Gauge {
        name: "gap",
        unit: Some(Bytes),
        help: "Length of these operations",
        samples: |status| of_gaps(status, |gap| number(gap.bytes)),
    },
    Gauge {
        name: "gap_kept_timestamp",
        unit: Some(Seconds),
        help: "When they were kept, in seconds since 1970",
        samples: |status| of_gaps(status, |gap| time(gap.kept_at.0)),
    },
    Gauge {
        name: "member_head_index",
        unit: None,
        help: "Index of the last operation in a member's log",
        samples: |status| of_members(status, |member| Some(number(member.head?.index))),
    },
    Gauge {
        name: "member_lag_ops",
        unit: None,
        help: "Operations that a standby is behind the active; no sample while that is unknown",
        samples: |status| of_members(status, |member| Some(number(member.lag_ops?))),
    },
    Gauge {
        name: "member_lag",
        unit: Some(Bytes),
        help: "Bytes of log that a standby is behind the active, at most; no sample while that is unknown",
        samples: |status| of_members(status, |member| Some(number(member.lag_bytes?))),
    },
    Gauge {
        name: "member_lag",
        unit: Some(Seconds),
        help: "For how long the oldest operation that a standby lacks has been waiting, at most; no sample while that is unknown",
        samples: |status| of_members(status, |member| Some(seconds(member.lag_milliseconds?))),
    },
    Gauge {
        name: "member_lag_sampled_timestamp",
        unit: Some(Seconds),
        help: "When the active measured a standby's lag last, in seconds since 1970",
        samples: |status| of_members(status, |member| Some(time(member.lag_sampled_at.as_ref()?.0))),
    },
    Gauge {
        name: "member_pending_ops",
        unit: None,
        help: "Operations that a standby holds past its base, which a promotion has to replay",
        samples: |status| of_members(status, |member| Some(number(member.pending_ops?))),
    },
    Gauge {
        name: "member_predicted_replay",
        unit: Some(Seconds),
        help: "How long a promotion of a standby is predicted to replay",
        samples: |status| of_members(status, |member| Some(seconds(member.predicted_replay_milliseconds?))),
    },
    Gauge {
        name: "member_kill",
        unit: Some(Seconds),
        help: "How long the last kill of a member's kudu-master took; to be compared with spec.failover.killTimeMilliseconds",
        samples: |status| of_members(status, |member| Some(seconds(member.kill_milliseconds?))),
    },
    Gauge {
        name: "sync_quorum",
        unit: None,
        help: "Standbys that have each acknowledged operation; 0 while the active acknowledges by itself",
        samples: |status| one(status.sync.as_ref().map_or(0.0, |sync| sync.quorum.into())),
    },
    Gauge {
        name: "sync_degraded",
        unit: None,
        help: "1 while fewer standbys than the spec asks for have each acknowledged operation",
        samples: |status| one(flag(status.sync.as_ref().is_some_and(|sync| sync.degraded))),
    },
    Gauge {
        name: "switch_started_timestamp",
        unit: Some(Seconds),
        help: "When the switch that is under way was decided, in seconds since 1970; no sample without one",
        samples: under_way,
    },
    Gauge {
        name: "receipt_ops_lost",
        unit: None,
        help: "Operations that were lost in one of the last ten switches; NaN while that is unknown",
        samples: |status| of_receipts(status, |receipt| receipt.ops_lost.parse().unwrap_or(f64::NAN)),
    },
    Gauge {
        name: "receipt_finished_timestamp",
        unit: Some(Seconds),
        help: "When one of the last ten switches ended, in seconds since 1970",
        samples: |status| of_receipts(status, |receipt| time(receipt.finished_at.0)),
    },
    Gauge {
        name: "receipt_acknowledged_index",
        unit: None,
        help: "Index of the last operation that the old active is known to have acknowledged before one of the last ten switches",
        samples: |status| heads(status, |receipt| receipt.acknowledged_head),
    },
    Gauge {
        name: "receipt_recorded_index",
        unit: None,
        help: "Index of the old active's last known operation in one of the last ten switches",
        samples: |status| heads(status, |receipt| receipt.recorded_head),
    },
    Gauge {
        name: "receipt_promoted_index",
        unit: None,
        help: "Index of the last operation of the old reign that the new active had in one of the last ten switches",
        samples: |status| heads(status, |receipt| receipt.promoted_head),
    },
    Gauge {
        name: "receipt_phase",
        unit: Some(Seconds),
        help: "How long a phase of one of the last ten switches took",
        samples: phases_of_receipts,
    },
];

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Whether a promotion of this member would lose nothing that is known of.
fn is_promotable(status: &PairStatus, member: &MemberStatus) -> bool {
    let may = !status.fenced.contains(&member.name) && member.unfit_log.as_ref().is_none_or(|unfit| unfit.replaced);
    may && (member.role, member.state) == (Role::Standby, MemberState::Streaming) && member.lag_ops.is_some()
}

fn states(status: &PairStatus) -> Vec<Sample> {
    let labels = |member: &MemberStatus| {
        vec![
            ("member", member.name.clone()),
            ("role", format!("{:?}", member.role)),
            ("state", format!("{:?}", member.state)),
        ]
    };
    status.members.iter().map(|member| (labels(member), 1.0)).collect()
}

fn conditions(status: &PairStatus) -> Vec<Sample> {
    let labels = |condition: &Condition| {
        vec![
            ("type", condition.type_.clone()),
            ("status", condition.status.clone()),
            ("reason", condition.reason.clone()),
        ]
    };
    status.conditions.iter().map(|condition| (labels(condition), 1.0)).collect()
}

fn of_members(status: &PairStatus, value: fn(&MemberStatus) -> Option<f64>) -> Vec<Sample> {
    let sample = |member| Some((vec![("member", MemberStatus::clone(member).name)], value(member)?));
    status.members.iter().filter_map(sample).collect()
}

fn of_gaps(status: &PairStatus, value: fn(&GapStatus) -> f64) -> Vec<Sample> {
    let labels = |gap: &GapStatus| {
        vec![("gap", gap.name.clone()), ("member", gap.member.clone()), ("state", format!("{:?}", gap.state))]
    };
    status.gaps.iter().map(|gap| (labels(gap), value(gap))).collect()
}

fn under_way(status: &PairStatus) -> Vec<Sample> {
    let switch = status.switch.iter();
    let labels = |kind, step| vec![("kind", format!("{kind:?}")), ("step", format!("{step:?}"))];
    switch.map(|switch| (labels(switch.kind, switch.step), time(switch.started_at.0))).collect()
}

/// What tells the receipts of a pair apart. A switch that was rolled back has no epoch of its own.
fn labels_of(receipt: &Receipt) -> Labels {
    vec![
        ("epoch", receipt.epoch.to_string()),
        ("kind", format!("{:?}", receipt.kind)),
        ("outcome", format!("{:?}", receipt.outcome)),
        ("to", receipt.to.clone()),
    ]
}

/// The receipts, of those with the same labels the newest only: two samples with the same labels break a whole page.
fn receipts(status: &PairStatus) -> Vec<(Labels, &Receipt)> {
    let mut receipts: Vec<(Labels, &Receipt)> = Vec::new();
    for receipt in &status.switches {
        let labels = labels_of(receipt);
        if !receipts.iter().any(|(known, _)| *known == labels) {
            receipts.push((labels, receipt));
        }
    }
    receipts
}

fn of_receipts(status: &PairStatus, value: fn(&Receipt) -> f64) -> Vec<Sample> {
    receipts(status).into_iter().map(|(labels, receipt)| (labels, value(receipt))).collect()
}

fn heads(status: &PairStatus, head: fn(&Receipt) -> Option<OpId>) -> Vec<Sample> {
    let sample = |(labels, receipt)| Some((labels, number(head(receipt)?.index)));
    receipts(status).into_iter().filter_map(sample).collect()
}

fn phases_of_receipts(status: &PairStatus) -> Vec<Sample> {
    let phases = |(labels, receipt): (Labels, &Receipt)| {
        phases(receipt).map(|(phase, seconds)| {
            let mut labels = labels.clone();
            labels.push(("phase", phase.to_owned()));
            (labels, seconds)
        })
    };
    receipts(status).into_iter().flat_map(phases).collect()
}

/// The phases of a switch and how many seconds each took.
pub(super) fn phases(receipt: &Receipt) -> [(&'static str, f64); 4] {
    let parsed = |text: &str| text.parse().unwrap_or(f64::NAN);
    [
        ("detect", parsed(&receipt.detect_seconds)),
        ("fence", parsed(&receipt.fence_seconds)),
        ("replay", parsed(&receipt.replay_seconds)),
        ("repoint", parsed(&receipt.repoint_seconds)),
    ]
}
