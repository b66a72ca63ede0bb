//! The budget that keeps drains from stopping two members at once.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{BuildInput, meta};

/// At most one member may be away by choice.
///
/// `unhealthyPodEvictionPolicy` stays at its default, `IfHealthyBudget`: a standby that is not ready can be drained while
/// the others are, but when nobody is ready no drain makes it worse.
pub fn disruption_budget(input: &BuildInput<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta::metadata(input, input.name.to_owned()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(meta::selector(input)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn budget() {
        insta::assert_json_snapshot!(disruption_budget(&testing::input(&testing::pair("spec: {}"))));
    }
}
