//! What a member's sidecar alone knows, or knows earlier than a status says it.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    registry::Unit::{Bytes, Seconds},
};

use super::gauge::{self, Gauge, Sample, count, known, number, one, time};
use crate::{
    api::Role,
    failover::member::{LagReport, MemberReport},
};

/// What a sidecar sees at a scrape.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// What it reports to the controller.
    pub report: MemberReport,
    /// When the base was made that its log goes on from.
    pub base_taken: Option<Timestamp>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// When its certificate ends.
    pub certificate_ends: Option<Timestamp>,
    /// For how long the sync has been held back that waits longest; none when kudu-master has no gate.
    pub oldest_wait: Option<Duration>,
}

/// How full a volume is.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// What is on it: `wal` or `data`.
    pub name: &'static str,
    /// How large it is.
    pub size_bytes: u64,
    /// How much of that can still be written.
    pub free_bytes: u64,
}

impl Collector for MemberView {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        gauge::encode(&mut encoder, GAUGES, std::iter::once((Vec::new(), self)))
    }
}

/// Everything that is told of a member.
const GAUGES: &[Gauge<MemberView>] = &[
    Gauge {
        name: "epoch",
        unit: None,
        help: "The highest epoch that the member has obeyed",
        samples: |member| one(number(member.report.epoch)),
    },
    Gauge { name: "state", unit: None, help: "1 for what the member is and does", samples: state },
    Gauge {
        name: "head_index",
        unit: None,
        help: "Index of the last operation in the member's log",
        samples: |member| known(member.report.head.map(|head| number(head.index))),
    },
    Gauge {
        name: "active_heard",
        unit: Some(Seconds),
        help: "Of a standby: how long ago the active was heard to be serving",
        samples: |member| {
            known(of_standby(member).and_then(|report| report.active_heard_milliseconds_ago).map(seconds))
        },
    },
    Gauge {
        name: "pending_ops",
        unit: None,
        help: "Of a standby: operations past its base, which a promotion has to replay",
        samples: |member| known(member.report.pending_ops.map(count)),
    },
    Gauge {
        name: "pending",
        unit: Some(Bytes),
        help: "Of a standby: their length",
        samples: |member| known(member.report.pending_bytes.map(count)),
    },
    Gauge {
        name: "predicted_replay",
        unit: Some(Seconds),
        help: "Of a standby: how long a promotion is predicted to replay",
        samples: |member| known(member.report.predicted_replay_milliseconds.map(seconds)),
    },
    Gauge {
        name: "base_taken_timestamp",
        unit: Some(Seconds),
        help: "Of a standby: when its base was made, in seconds since 1970",
        samples: |member| known(of_standby(member).and(member.base_taken).map(time)),
    },
    Gauge {
        name: "standby_lag_ops",
        unit: None,
        help: "Of an active: operations that a standby is behind; no sample while that is unknown",
        samples: |member| of_lags(member, |lag| lag.ops.map(count)),
    },
    Gauge {
        name: "standby_lag",
        unit: Some(Bytes),
        help: "Of an active: bytes of log that a standby is behind, at most; no sample while that is unknown",
        samples: |member| of_lags(member, |lag| lag.bytes.map(count)),
    },
    Gauge {
        name: "standby_lag",
        unit: Some(Seconds),
        help: "Of an active: for how long the oldest operation that a standby lacks has been waiting, at most",
        samples: |member| of_lags(member, |lag| lag.milliseconds.map(seconds)),
    },
    Gauge {
        name: "standby_lag_sample_age",
        unit: Some(Seconds),
        help: "Of an active: how old these three are",
        samples: |member| of_lags(member, |lag| Some(seconds(lag.sample_milliseconds_ago))),
    },
    Gauge {
        name: "acknowledgement_oldest_wait",
        unit: Some(Seconds),
        help: "For how long the sync has been held back that waits longest for its standbys; with synchronous acknowledgement",
        samples: |member| known(member.oldest_wait.map(|wait| wait.as_secs_f64())),
    },
    Gauge {
        name: "volume_size",
        unit: Some(Bytes),
        help: "How large a volume is",
        samples: |member| of_volumes(member, |volume| volume.size_bytes),
    },
    Gauge {
        name: "volume_free",
        unit: Some(Bytes),
        help: "How much of it can still be written",
        samples: |member| of_volumes(member, |volume| volume.free_bytes),
    },
    Gauge {
        name: "certificate_end_timestamp",
        unit: Some(Seconds),
        help: "When the certificate that new links use is not valid any more, in seconds since 1970",
        samples: |member| known(member.certificate_ends.map(time)),
    },
];

fn state(member: &MemberView) -> Vec<Sample> {
    let MemberReport { role, state, .. } = &member.report;
    vec![(vec![("role", format!("{role:?}")), ("state", format!("{state:?}"))], 1.0)]
}

fn of_standby(member: &MemberView) -> Option<&MemberReport> {
    Some(&member.report).filter(|report| report.role == Role::Standby)
}

fn of_lags(member: &MemberView, value: fn(&LagReport) -> Option<f64>) -> Vec<Sample> {
    let active = Some(&member.report).filter(|report| report.role == Role::Active);
    let standbys = active.into_iter().flat_map(|report| &report.standbys);
    let sample = |standby: &crate::failover::member::StandbyReport| {
        Some((vec![("standby", standby.member.clone())], value(standby.lag.as_ref()?)?))
    };
    standbys.filter_map(sample).collect()
}

fn of_volumes(member: &MemberView, value: fn(&Volume) -> u64) -> Vec<Sample> {
    let labels = |volume: &Volume| vec![("volume", volume.name.to_owned())];
    member.volumes.iter().map(|volume| (labels(volume), count(value(volume)))).collect()
}

fn seconds(milliseconds: u64) -> f64 {
    count(milliseconds) / 1000.0
}
