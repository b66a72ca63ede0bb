//! Gauges whose values are read when somebody asks for them.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use super::Labels;

/// Labels of its own, and the value.
pub(super) type Sample = (Labels, f64);

/// A gauge of each `T`, or of something of each `T`.
pub(super) struct Gauge<T> {
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
    pub(super) samples: fn(&T) -> Vec<Sample>,
}

/// Writes gauges of all that `of` has; its labels come before those of the samples.
pub(super) fn encode<'a, T: 'a>(
    encoder: &mut DescriptorEncoder<'_>,
    gauges: &[Gauge<T>],
    of: impl Iterator<Item = (Labels, &'a T)> + Clone,
) -> fmt::Result {
    for Gauge { name, unit, help, samples } in gauges {
        let mut gauge = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, one) in of.clone() {
            for (more, value) in samples(one) {
                let labels: Labels = labels.iter().cloned().chain(more).collect();
                gauge.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
    }
    Ok(())
}

/// One sample without labels of its own.
pub(super) fn one(value: f64) -> Vec<Sample> {
    vec![(Vec::new(), value)]
}

/// One sample without labels of its own, or none of what is not known.
pub(super) fn known(value: Option<f64>) -> Vec<Sample> {
    value.into_iter().flat_map(one).collect()
}

/// Exact up to 2^53, far above what a pair counts.
pub(super) fn number(value: i64) -> f64 {
    value as f64
}

/// The same, of a number that cannot be negative.
pub(super) fn count(value: u64) -> f64 {
    value as f64
}

pub(super) fn seconds(milliseconds: i64) -> f64 {
    number(milliseconds) / 1000.0
}

pub(super) fn time(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
