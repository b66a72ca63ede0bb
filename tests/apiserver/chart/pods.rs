//! Each set of values, applied to a real API server that enforces pod security.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{RELEASE_NAMESPACE, apply, objects, template_of_file};
use crate::{make_namespace, server, server_with_pairs};

const AGENTS: &str = "kudu-agents";

#[tokio::test]
async fn the_controllers_are_restricted_pods_and_node_agents_need_more() {
    let Some(server) = server_with_pairs().await else { return };
    let (admin, programs) = (server.admin(), server::programs().expect("the server runs"));
    for namespace in [RELEASE_NAMESPACE, AGENTS, "team-a", "team-b"] {
        make_namespace(&admin, namespace).await;
    }
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let privileged = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
    let change = Patch::Merge(privileged);
    namespaces.patch(AGENTS, &PatchParams::default(), &change).await.expect("a namespace for node agents");

    for name in ["default.yaml", "namespaced.yaml", "private-registry.yaml", "everything.yaml"] {
        let applied = apply(&admin, &objects(&template_of_file(&programs, name))).await;
        for object in applied {
            // What `helm test` starts has been admitted by now.
            if object.types.as_ref().is_some_and(|types| types.kind == "Pod") {
                has_read_only_root_file_systems(&object.data);
            }
            let Some(template) = object.data.pointer("/spec/template") else { continue };
            has_read_only_root_file_systems(template);
            let is_agent = object.name_any().contains("node-agent");
            let (here, refused) =
                (object.namespace().expect("a namespace"), try_pod(&server, RELEASE_NAMESPACE, template).await);
            match refused {
                Ok(()) => assert!(!is_agent, "{name}: agents can be in the controllers' namespace after all; say so"),
                Err(why) => assert!(is_agent && why.contains("violates PodSecurity"), "{name}: {why}"),
            }
            if here == AGENTS {
                try_pod(&server, AGENTS, template).await.expect("a namespace for privileged pods takes them");
            }
        }
    }
}

/// Makes, on trial, the pod of a workload.
async fn try_pod(server: &server::ApiServer, namespace: &str, template: &Value) -> Result<(), String> {
    let mut pod: Pod = serde_json::from_value(template.clone()).expect("a pod");
    pod.metadata.name = Some("trial".to_owned());
    // The accounts are only where the workload is.
    let spec = pod.spec.as_mut().expect("a spec");
    spec.service_account_name = Some("default".to_owned());
    let on_trial = PostParams { dry_run: true, ..Default::default() };
    let made = Api::<Pod>::namespaced(server.admin(), namespace).create(&on_trial, &pod).await;
    made.map(drop).map_err(|error| error.to_string())
}

fn has_read_only_root_file_systems(template: &Value) {
    for container in template["spec"]["containers"].as_array().expect("containers") {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
    }
}
