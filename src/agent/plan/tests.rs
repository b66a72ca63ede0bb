use proptest::prelude::*;

use super::*;

const SERVICE: &str = "10.82.7.9:7051";
const WEB: &str = "10.82.7.9:8051";
const OLD: &str = "10.81.1.7:7051";
const NEW: &str = "10.81.2.7:7051";
const CLIENT: &str = "10.81.3.4:40000";

fn route(pod: &str) -> Route {
    Route {
        pair: ("kudu".to_owned(), "demo".to_owned()),
        active: "demo-1".to_owned(),
        addresses: [SERVICE, WEB].map(|address| address.parse().unwrap()).into(),
        pods: [pod.parse::<SocketAddr>().unwrap().ip()].into(),
    }
}

fn flow(number: u32, client: &str, address: &str, server: &str) -> Flow {
    Flow {
        id: FlowId::fictitious(number),
        client: client.parse().unwrap(),
        address: address.parse().unwrap(),
        server: server.parse().unwrap(),
        established: true,
    }
}

fn client(client: &str) -> Tickle {
    Tickle { from: SERVICE.parse().unwrap(), to: client.parse().unwrap() }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Looks every 100 ms from one moment to another; what each look called for, if anything.
fn sweep(plan: &mut Plan, flows: &[Flow], from: u64, to: u64) -> Vec<(u64, Steps)> {
    let looks = (from..=to).step_by(100).map(|at| (at, plan.sweep(flows, ms(at))));
    looks.filter(|(_, steps)| *steps != Steps::default()).collect()
}

#[test]
fn only_flows_to_the_service_that_lead_elsewhere_are_deleted() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    let flows = [
        flow(1, CLIENT, SERVICE, OLD),
        flow(2, "10.81.3.4:40001", SERVICE, NEW),
        flow(3, CLIENT, WEB, "10.81.1.7:8051"),
        flow(4, CLIENT, "10.82.7.9:22", OLD),
        flow(5, CLIENT, "10.82.7.10:7051", OLD),
        flow(6, CLIENT, OLD, OLD),
        flow(7, OLD, CLIENT, CLIENT),
    ];
    let steps = plan.sweep(&flows, ms(0));
    assert_eq!(steps.delete, [FlowId::fictitious(1), FlowId::fictitious(3)]);
    assert_eq!(steps.tickle, [], "the proxy may need a moment to follow");
}

#[test]
fn clients_whose_flow_was_deleted_are_tickled_a_few_times() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(0));
    let healthy = [flow(2, "10.81.3.4:40001", SERVICE, NEW)];
    let tickled: Vec<_> = sweep(&mut plan, &healthy, 100, 5000);
    assert_eq!(tickled.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [200, 800, 1400, 2000]);
    for (_, steps) in tickled {
        assert_eq!(steps, Steps { tickle: vec![client(CLIENT)], ..Steps::default() });
    }
}

#[test]
fn a_flow_that_a_late_proxy_makes_anew_is_deleted_and_its_client_tickled_again() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(0));
    assert_eq!(sweep(&mut plan, &[], 100, 700).len(), 1);
    // It answered and was sent to the old pod.
    let steps = plan.sweep(&[flow(2, CLIENT, SERVICE, OLD)], ms(750));
    assert_eq!(steps, Steps { delete: vec![FlowId::fictitious(2)], tickle: vec![client(CLIENT)], ..Steps::default() });
    assert_eq!(sweep(&mut plan, &[], 800, 5000).len(), 3, "all tickles are due anew");
}

#[test]
fn a_client_that_has_reached_the_new_active_is_left_alone() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(0));
    assert_eq!(sweep(&mut plan, &[flow(2, CLIENT, SERVICE, NEW)], 100, 5000), []);
}

#[test]
fn a_connection_that_is_not_open_yet_is_cut_but_its_client_not_tickled() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    let opening = Flow { established: false, ..flow(1, CLIENT, SERVICE, OLD) };
    assert_eq!(plan.sweep(&[opening], ms(0)).delete, [FlowId::fictitious(1)]);
    assert_eq!(sweep(&mut plan, &[], 100, 5000), []);
}

#[test]
fn a_cut_over_ends_when_nothing_was_stale_for_a_while() {
    let mut plan = Plan::default();
    assert!(plan.addresses().is_empty());
    plan.see(vec![route(NEW)], ms(0));
    assert_eq!(plan.addresses(), route(NEW).addresses);
    plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(0));
    plan.sweep(&[flow(2, CLIENT, SERVICE, OLD), flow(3, "10.81.3.5:1", SERVICE, OLD)], ms(4000));
    let ended: Vec<_> =
        sweep(&mut plan, &[], 4100, 60_000).into_iter().filter(|(_, look)| !look.ended.is_empty()).collect();
    let [(at, Steps { ended, .. })] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(*at, 14_000);
    assert_eq!(
        ended[..],
        [Report {
            route: route(NEW),
            connections: 2,
            deletions: 3,
            tickles: 8,
            last_deletion_after: ms(4000),
            end: End::Quiet
        }]
    );
    assert!(plan.addresses().is_empty());
    assert_eq!(plan.see(vec![route(NEW)], ms(70_000)), []);
    assert!(plan.addresses().is_empty(), "what has not changed is not looked at again");
}

#[test]
fn flows_are_left_alone_while_nobody_is_active() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    let reports = plan.see(vec![], ms(100));
    assert_eq!(reports.iter().map(|report| report.end).collect::<Vec<_>>(), [End::Superseded]);
    assert_eq!(plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(200)), Steps::default());
}

#[test]
fn a_new_active_in_mid_cut_over_is_the_one_that_counts() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    plan.sweep(&[flow(1, CLIENT, SERVICE, OLD)], ms(0));
    let reports = plan.see(vec![route(OLD)], ms(50));
    assert_eq!(reports.iter().map(|report| (report.deletions, report.end)).collect::<Vec<_>>(), [(1, End::Superseded)]);
    let steps = plan.sweep(&[flow(2, CLIENT, SERVICE, OLD), flow(3, CLIENT, SERVICE, NEW)], ms(300));
    assert_eq!(steps, Steps { delete: vec![FlowId::fictitious(3)], ..Steps::default() });
}

#[test]
fn it_gives_up_when_stale_flows_come_back_for_ever() {
    let mut plan = Plan::default();
    plan.see(vec![route(NEW)], ms(0));
    let looks = sweep(&mut plan, &[flow(1, CLIENT, SERVICE, OLD)], 0, 200_000);
    let (at, last) = looks.last().unwrap();
    assert_eq!((*at, last.ended[0].end), (120_000, End::GaveUp));
}

#[test]
fn many_flows_are_looked_at_less_often() {
    assert_eq!(pause(ms(2)), ms(100));
    assert_eq!(pause(ms(300)), ms(2700));
}

/// Few enough that flows to the Service, and to the pod that it leads to, are among them.
fn addresses() -> impl Strategy<Value = SocketAddr> {
    let last = prop_oneof![Just(0_u8), Just(1), Just(9)];
    (last, prop_oneof![Just(7051_u16), Just(8051), Just(22)]).prop_map(|(last, port)| ([10, 82, 7, last], port).into())
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let one = (any::<u32>(), addresses(), addresses(), addresses(), any::<bool>());
    let one = one.prop_map(|(id, client, address, server, established)| {
        let id = FlowId::fictitious(id);
        Flow { id, client, address, server, established }
    });
    prop::collection::vec(one, 0..12)
}

proptest! {
    /// The promise of the whole agent.
    #[test]
    fn no_other_flow_is_ever_touched(looks in prop::collection::vec((flows(), any::<bool>()), 1..30)) {
        let mut plan = Plan::default();
        let mut cut = BTreeSet::new();
        for (number, (flows, to_old)) in (0_u64..).zip(looks) {
            let mut route = route(if to_old { OLD } else { NEW });
            // Some of the random flows lead to it.
            route.pods.insert([10, 82, 7, 1].into());
            plan.see(vec![route.clone()], ms(number * 300));
            let steps = plan.sweep(&flows, ms(number * 300));
            for id in &steps.delete {
                let flow = flows.iter().find(|flow| flow.id == *id && route.addresses.contains(&flow.address)
                    && !route.pods.contains(&flow.server.ip()));
                prop_assert!(flow.is_some());
                cut.extend(flow.map(|flow| (flow.address, flow.client)));
            }
            for tickle in &steps.tickle {
                prop_assert!(cut.contains(&(tickle.from, tickle.to)));
            }
        }
    }
}
