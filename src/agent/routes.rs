//! Where the pairs' Services lead, from what the API server says.

use std::{
    borrow::Borrow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::{
    core::v1::{Service, ServiceSpec},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt as _;

use super::plan::Route;
use crate::api::names::{self, PAIR_LABEL, POD_NAME_LABEL};

/// Label of a slice that names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The route of each pair that has an active. A pair is left out as long as its Service and the slices, which are watched apart,
/// do not agree on the pod: one of the two is older, and flows to the very active could seem stale.
pub fn routes<S: Borrow<Service>, E: Borrow<EndpointSlice>>(services: &[S], slices: &[E]) -> Vec<Route> {
    services.iter().filter_map(|service| route(service.borrow(), slices)).collect()
}

fn route<E: Borrow<EndpointSlice>>(service: &Service, slices: &[E]) -> Option<Route> {
    let pair = service.labels().get(PAIR_LABEL)?;
    // Each pair has a Service of all members as well.
    if service.name_any() != names::service(pair) {
        return None;
    }
    let (namespace, spec) = (service.namespace()?, service.spec.as_ref()?);
    let active = spec.selector.as_ref()?.get(POD_NAME_LABEL)?;
    let mut pods = BTreeSet::new();
    for slice in slices.iter().map(Borrow::borrow) {
        let is_of_the_service = slice.namespace().as_deref() == Some(&namespace)
            && slice.labels().get(SERVICE_NAME_LABEL) == Some(&service.name_any());
        for endpoint in slice.endpoints.iter().filter(|_| is_of_the_service) {
            if endpoint.target_ref.as_ref().and_then(|pod| pod.name.as_ref()) != Some(active) {
                return None;
            }
            pods.extend(endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()));
        }
    }
    let addresses = addresses(spec);
    let found = !pods.is_empty() && !addresses.is_empty();
    found.then(|| Route { pair: (namespace, pair.clone()), active: active.clone(), addresses, pods })
}

/// Each of the Service's addresses with each of its TCP ports. A headless Service has none.
fn addresses(spec: &ServiceSpec) -> BTreeSet<SocketAddr> {
    let ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let ips: BTreeSet<IpAddr> = ips.filter_map(|ip| ip.parse().ok()).collect();
    let tcp =
        spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let ports: Vec<u16> = tcp.filter_map(|port| u16::try_from(port.port).ok()).collect();
    ips.into_iter().flat_map(|ip| ports.iter().map(move |port| SocketAddr::new(ip, *port))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(selected: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": { "name": "demo", "namespace": "kudu", "labels": { "kudupair.io/pair": "demo" } },
            "spec": {
                "clusterIP": "10.82.7.9",
                "clusterIPs": ["10.82.7.9", "fd00::9"],
                "selector": { "kudupair.io/pair": "demo", "statefulset.kubernetes.io/pod-name": selected },
                "ports": [{ "port": 7051, "protocol": "TCP" }, { "port": 8051 }, { "port": 53, "protocol": "UDP" }]
            }
        }))
        .unwrap()
    }

    fn slice(service: &str, endpoints: &Value) -> EndpointSlice {
        let labels = json!({ "kudupair.io/pair": "demo", "kubernetes.io/service-name": service });
        serde_json::from_value(json!({
            "addressType": "IPv4",
            "metadata": { "name": format!("{service}-x7"), "namespace": "kudu", "labels": labels },
            "endpoints": endpoints
        }))
        .unwrap()
    }

    fn endpoint(pod: &str, address: &str) -> Value {
        json!({ "addresses": [address], "targetRef": { "kind": "Pod", "name": pod } })
    }

    #[test]
    fn a_route_leads_from_the_service_to_the_active() {
        let slices = [
            slice("demo", &json!([endpoint("demo-1", "10.81.2.7")])),
            slice("demo-members", &json!([endpoint("demo-0", "10.81.1.7"), endpoint("demo-1", "10.81.2.7")])),
        ];
        let text = ["10.82.7.9:7051", "10.82.7.9:8051", "[fd00::9]:7051", "[fd00::9]:8051"];
        assert_eq!(
            routes(&[service("demo-1")], &slices),
            [Route {
                pair: ("kudu".to_owned(), "demo".to_owned()),
                active: "demo-1".to_owned(),
                addresses: text.iter().map(|address| address.parse().unwrap()).collect(),
                pods: ["10.81.2.7".parse().unwrap()].into(),
            }]
        );
    }

    #[test]
    fn there_is_none_while_service_and_slices_disagree() {
        let old = slice("demo", &json!([endpoint("demo-0", "10.81.1.7")]));
        let both = slice("demo", &json!([endpoint("demo-1", "10.81.2.7"), endpoint("demo-0", "10.81.1.7")]));
        let nameless = slice("demo", &json!([{ "addresses": ["10.81.2.7"] }]));
        for slice in [old, both, nameless] {
            assert_eq!(routes(&[service("demo-1")], &[slice]), []);
        }
    }

    #[test]
    fn there_is_none_without_an_active() {
        let none: [EndpointSlice; 0] = [];
        assert_eq!(routes(&[service("none")], &none), []);
        assert_eq!(routes(&[service("none")], &[slice("demo", &json!([]))]), []);
    }

    #[test]
    fn only_the_pairs_own_service_has_one() {
        let slices = [slice("demo-members", &json!([endpoint("demo-1", "10.81.2.7")]))];
        let mut members = service("demo-1");
        members.metadata.name = Some("demo-members".to_owned());
        let mut strange = service("demo-1");
        strange.metadata.labels = None;
        assert_eq!(routes(&[members, strange], &slices), []);
        let mut elsewhere = slice("demo", &json!([endpoint("demo-1", "10.81.2.7")]));
        elsewhere.metadata.namespace = Some("other".to_owned());
        assert_eq!(routes(&[service("demo-1")], &[elsewhere]), []);
    }
}
