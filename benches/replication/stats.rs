//! Trials and what is said of them.

use std::fmt;

/// The figures of one arm of a benchmark, in one unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trials(Vec<f64>);

impl Trials {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        match (sorted.get((sorted.len().max(1) - 1) / 2), sorted.get(sorted.len() / 2)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => f64::NAN,
        }
    }

    pub(crate) fn worst(&self, better: Better) -> f64 {
        let sorted = self.sorted();
        let worst = match better {
            Better::Lower => sorted.last(),
            Better::Higher => sorted.first(),
        };
        worst.copied().unwrap_or(f64::NAN)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Trials {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// Which figures are the good ones.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Better {
    /// As of a time.
    Lower,
    /// As of a rate.
    Higher,
}

/// One thing that was measured: arms in the same run, the first of which the others are compared with.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// What the issue at hand would like the ratio to be; for the reader, nothing fails by it.
    pub(crate) target: &'static str,
    pub(crate) arms: Vec<(String, Trials)>,
}

impl Row {
    /// Median of an arm over the median of the first one.
    pub(crate) fn ratio(&self, arm: &Trials) -> f64 {
        arm.median() / self.arms.first().map_or(f64::NAN, |(_, peer)| peer.median())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        if !self.target.is_empty() {
            writeln!(f, "Target: {}.\n", self.target)?;
        }
        writeln!(f, "| | median, {0} | worst, {0} | trials | ratio of medians |", self.unit)?;
        writeln!(f, "|---|---|---|---|---|")?;
        for (name, arm) in &self.arms {
            let (median, worst, ratio) = (figure(arm.median()), figure(arm.worst(self.better)), self.ratio(arm));
            writeln!(f, "| {name} | {median} | {worst} | {} | {ratio:.2} |", arm.count())?;
        }
        Ok(())
    }
}

/// Three digits are all that such a measurement has.
fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}
