//! The CustomResourceDefinition as YAML, from the types beside this file.
//!
//! `crds/`, the chart and `deploy/kustomize` hold what [`yaml`] returns; a test keeps all equal. `kudu-pair crd --out DIR` writes it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::KuduMasterPair;

/// Name of the file that holds the definition.
pub const CRD_FILE: &str = "kudumasterpairs.kudupair.io.yaml";

/// The definition of `KuduMasterPair` for an API server.
pub fn definition() -> CustomResourceDefinition {
    KuduMasterPair::crd()
}

/// [`definition`] as one YAML document, which reads the same in YAML 1.1 (kubectl, Helm) and 1.2.
pub fn yaml() -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(&definition())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn schema() -> Value {
        let definition = serde_json::to_value(definition()).unwrap();
        definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
    }

    /// Calls `check` with the path and the schema of every field, at any depth.
    fn each_field(path: &str, schema: &Value, check: &mut impl FnMut(&str, &Value)) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            check(&path, field);
            each_field(&path, field, check);
        }
        each_element(path, schema, check);
    }

    fn each_element(path: &str, schema: &Value, check: &mut impl FnMut(&str, &Value)) {
        for (name, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
            if schema[name].is_object() {
                each_field(&format!("{path}{mark}"), &schema[name], check);
            }
        }
    }

    #[rstest]
    #[case::for_kubectl("crds")]
    #[case::for_the_chart("charts/kudu-pair/files/crds")]
    #[case::for_kustomize("deploy/kustomize/crd")]
    fn the_committed_file_is_what_the_code_generates(#[case] folder: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(CRD_FILE);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == yaml().unwrap(),
            "{} is not what the code generates; run: cargo run -- crd --out {folder}",
            file.display()
        );
    }

    #[test]
    fn every_field_is_documented() {
        let mut bare = Vec::new();
        each_field("", &schema(), &mut |path, field| {
            if field["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
                bare.push(path.to_owned());
            }
        });
        assert!(bare.is_empty(), "fields without a doc comment: {bare:#?}");
    }

    #[test]
    fn formats_are_ones_that_api_servers_know() {
        each_field("", &schema(), &mut |path, field| {
            if let Some(format) = field["format"].as_str() {
                assert!(["int32", "int64", "date-time"].contains(&format), "{path} has the format {format}");
            }
        });
    }

    /// YAML 1.1 reads these words as something else than text; kubectl and Helm read YAML 1.1.
    #[test]
    fn no_plain_scalar_changes_its_type_in_yaml_1_1() {
        const TRAPS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "~", "<<", "="];
        let sexagesimal = |text: &str| {
            text.contains(':')
                && text.split(':').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        };
        for line in yaml().unwrap().lines() {
            let mut scalar = line.trim_start();
            while let Some(rest) = scalar.strip_prefix("- ") {
                scalar = rest.trim_start();
            }
            let (key, value) = scalar.split_once(':').unwrap_or((scalar, ""));
            for word in [scalar, key, value.trim()] {
                assert!(!TRAPS.contains(&word.to_lowercase().as_str()) && !sexagesimal(word), "unquoted: {line}");
            }
        }
    }

    #[test]
    fn the_yaml_holds_the_whole_definition() {
        let read: Value = serde_yaml::from_str(&yaml().unwrap()).unwrap();
        assert_eq!(read, serde_json::to_value(definition()).unwrap());
    }

    /// What a user need not write is what the code assumes: the schema's defaults are serde's.
    #[test]
    fn an_empty_spec_is_a_whole_pair() {
        let spec: crate::api::KuduMasterPairSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(spec.standbys, 1);
        assert_eq!(spec.failover.mode, crate::api::FailoverMode::Automatic);
        assert!(schema().pointer("/properties/spec/required").is_none(), "a field of spec is required");
    }

    /// The definition stays when an operator is rolled back, and the API server fills in its defaults.
    #[test]
    fn a_field_of_a_newer_definition_is_no_reason_to_stop() {
        let newer = r#"{"novelty": {}, "kudu": {"novelty": 1}, "storage": {"wal": {"novelty": 1}}, "failover": {"novelty": 1}}"#;
        let spec: crate::api::KuduMasterPairSpec = serde_json::from_str(newer).unwrap();
        assert_eq!(spec, serde_json::from_str("{}").unwrap());
    }
}
