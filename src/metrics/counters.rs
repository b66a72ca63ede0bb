//! What this process did since it started.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{Labels, pairs::phases};
use crate::api::{PairStatus, Receipt};

/// What this process did since it started. Clones count together.
#[derive(Debug, Clone)]
pub struct Counters {
    switches: Family<Labels, Counter>,
    phases: Family<Labels, Histogram, fn() -> Histogram>,
    reconciliations: Histogram,
    errors: Family<Labels, Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            switches: Family::default(),
            phases: Family::new_with_constructor(durations),
            reconciliations: durations(),
            errors: Family::default(),
        }
    }
}

/// What a sidecar measured since it started. Clones measure together.
#[derive(Debug, Clone)]
pub struct MemberCounters {
    acknowledgements: Histogram,
    lease_margins: Histogram,
}

impl Default for MemberCounters {
    fn default() -> Self {
        Self {
            // From half a millisecond, which two disks and a network take, to half a minute.
            acknowledgements: Histogram::new(exponential_buckets(0.0005, 2.0, 17)),
            // Finer where it gets dangerous.
            lease_margins: Histogram::new([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]),
        }
    }
}

impl MemberCounters {
    /// A sync of kudu-master was held back so long until its standbys had it too.
    pub fn acknowledged(&self, after: Duration) {
        self.acknowledgements.observe(after.as_secs_f64());
    }

    /// kudu-master was given more time when it had so much left.
    pub fn renewed(&self, left: Duration) {
        self.lease_margins.observe(left.as_secs_f64());
    }

    pub(super) fn register(&self, to: &mut Registry) {
        to.register_with_unit(
            "acknowledgement_wait",
            "How long a sync of kudu-master's log was held back until its standbys had it too; with synchronous acknowledgement",
            Unit::Seconds,
            self.acknowledgements.clone(),
        );
        to.register_with_unit(
            "lease_margin",
            "How much longer kudu-master could have run when its time was extended",
            Unit::Seconds,
            self.lease_margins.clone(),
        );
    }
}

/// Buckets from 10 ms to 41 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 13))
}

impl Counters {
    /// A status was written: counts the switch that it ends, if it does.
    pub fn status_written(&self, namespace: &str, pair: &str, before: Option<&PairStatus>, after: &PairStatus) {
        let Some(receipt) = ended(before, after) else { return };
        let mut labels = vec![
            ("namespace", namespace.to_owned()),
            ("pair", pair.to_owned()),
            ("kind", format!("{:?}", receipt.kind)),
            ("outcome", format!("{:?}", receipt.outcome)),
        ];
        self.switches.get_or_create(&labels).inc();
        labels.pop();
        for (phase, seconds) in phases(receipt).into_iter().filter(|(_, seconds)| seconds.is_finite()) {
            let mut labels = labels.clone();
            labels.push(("phase", phase.to_owned()));
            self.phases.get_or_create(&labels).observe(seconds);
        }
    }

    /// A pair was looked after: how long that took, and the label of what went wrong.
    pub fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        self.reconciliations.observe(took.as_secs_f64());
        if let Some(reason) = error {
            self.errors.get_or_create(&vec![("reason", reason.to_owned())]).inc();
        }
    }

    pub(super) fn register(&self, to: &mut Registry, leads: bool) {
        to.register(
            "leader",
            "1 when this controller leads; only the one that leads knows pairs",
            ConstGauge::new(i64::from(leads)),
        );
        to.register("switches", "Switches that ended under this controller", self.switches.clone());
        to.register_with_unit(
            "switch_phase_duration",
            "How long the phases of the switches that ended under this controller took",
            Unit::Seconds,
            self.phases.clone(),
        );
        to.register_with_unit(
            "reconcile_duration",
            "How long it took to look after a pair once",
            Unit::Seconds,
            self.reconciliations.clone(),
        );
        to.register("reconcile_errors", "What went wrong when a pair was looked after, by reason", self.errors.clone());
    }
}

/// The receipt of the switch that a status ends. One that is amended later ends nothing.
fn ended<'a>(before: Option<&PairStatus>, after: &'a PairStatus) -> Option<&'a Receipt> {
    let receipt = after.last_switch.as_ref()?;
    let known = before.and_then(|before| before.last_switch.as_ref());
    known.is_none_or(|known| known.finished_at != receipt.finished_at).then_some(receipt)
}
