//! The two Services of a pair: one follows the active, one gives every member an address.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{BuildInput, meta};
use crate::api::names;

/// The pod name that the Service selects while nobody is active. No member is called so: their names end in a number.
pub const NOBODY: &str = "none";

fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

/// The Service that clients and tablet servers use for ever. It selects the active's pod by name.
pub fn active_service(input: &BuildInput<'_>, active: Option<&str>) -> Service {
    let selector = BTreeMap::from([
        (names::PAIR_LABEL.to_owned(), input.name.to_owned()),
        (names::POD_NAME_LABEL.to_owned(), active.unwrap_or(NOBODY).to_owned()),
    ]);
    Service {
        metadata: meta::metadata(input, names::service(input.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector),
            ports: Some(vec![port("rpc", names::RPC_PORT), port("web", names::WEB_PORT)]),
            // The operator points here only at a member whose log shows that it serves; waiting for the kubelet's next
            // probe would add up to a second to each switch.
            publish_not_ready_addresses: Some(true),
            session_affinity: Some("None".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The headless Service behind the members' DNS names.
pub fn members_service(input: &BuildInput<'_>) -> Service {
    Service {
        metadata: meta::metadata(input, names::members_service(input.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(meta::selector_labels(input)),
            ports: Some(vec![
                port("rpc", names::RPC_PORT),
                port("link", names::LINK_PORT),
                port("report", names::REPORT_PORT),
            ]),
            // A standby finds the active, and the controller every member, before they are ready.
            publish_not_ready_addresses: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn service_of_the_active() {
        insta::assert_json_snapshot!(active_service(&testing::input(&testing::pair("spec: {}")), Some("demo-1")));
    }

    #[test]
    fn service_of_the_members() {
        insta::assert_json_snapshot!(members_service(&testing::input(&testing::pair("spec: {}"))));
    }

    #[test]
    fn without_an_active_the_service_selects_no_member() {
        let service = active_service(&testing::input(&testing::pair("spec: {}")), None);
        let selector = service.spec.unwrap().selector.unwrap();
        assert_eq!(selector[names::POD_NAME_LABEL], "none");
        assert!(!names::members("demo", 4).contains(&selector[names::POD_NAME_LABEL]));
    }
}
