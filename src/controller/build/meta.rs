//! Names, labels and owner: the metadata that all objects of a pair share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::BuildInput;
use crate::api::names;

const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
const COMPONENT: &str = "master";

fn text_map<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Labels that find a pair's members. A StatefulSet's selector can never be changed, so neither can these.
pub(super) fn selector_labels(input: &BuildInput<'_>) -> BTreeMap<String, String> {
    text_map([(names::PAIR_LABEL, input.name), (COMPONENT_LABEL, COMPONENT)])
}

/// [`selector_labels`] as the selector of a StatefulSet, a budget or an affinity.
pub(super) fn selector(input: &BuildInput<'_>) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(input)), ..Default::default() }
}

/// Labels of every object of a pair.
pub(super) fn labels(input: &BuildInput<'_>) -> BTreeMap<String, String> {
    let mut labels = selector_labels(input);
    labels.extend(text_map([
        ("app.kubernetes.io/name", "kudu-master"),
        ("app.kubernetes.io/instance", input.name),
        ("app.kubernetes.io/managed-by", names::FIELD_MANAGER),
        ("app.kubernetes.io/part-of", "kudu"),
    ]));
    labels
}

/// Metadata of the pair's object `name`.
pub(super) fn metadata(input: &BuildInput<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(input.namespace.to_owned()),
        labels: Some(labels(input)),
        owner_references: Some(vec![input.owner.clone()]),
        ..Default::default()
    }
}
