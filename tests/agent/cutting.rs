//! What is cut, how soon the client notices, and what is left alone.

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use kudu_pair::agent::{Conntrack, plan::Tickle, tickle};
use rstest::rstest;

use crate::world::{Family, Member, Mode, OTHER_PORT, Place, World};

/// After so long without an answer, a client retransmits after 0.2, 0.6, 1.4, 3.0 s and not again before 6.2 s.
const OUTAGE: Duration = Duration::from_millis(3500);

/// The promise: a client of a node that went silent is reset at once, long before it would send again.
#[rstest]
#[case::iptables(Mode::Iptables, Family::V4, Place::Pod)]
#[case::nftables(Mode::Nftables, Family::V4, Place::Pod)]
#[case::iptables_from_the_node(Mode::Iptables, Family::V4, Place::Node)]
#[case::nftables_from_the_node(Mode::Nftables, Family::V4, Place::Node)]
#[case::iptables_ip6(Mode::Iptables, Family::V6, Place::Pod)]
#[case::nftables_ip6(Mode::Nftables, Family::V6, Place::Pod)]
fn a_connection_to_a_silent_node_is_reset(#[case] mode: Mode, #[case] family: Family, #[case] place: Place) {
    let world = World::new(mode, family);
    let mut waiting = world.connect(place, world.service());
    let mut idle = world.connect(place, world.service());
    assert_eq!((waiting.ask().unwrap(), idle.ask().unwrap()), (Member::Old, Member::Old));
    world.mute_old();
    waiting.send().unwrap();
    thread::sleep(OUTAGE);
    world.lead_to(Member::New);
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| world.run_agent(Duration::from_secs(2)));
        for connection in [&mut waiting, &mut idle] {
            assert_eq!(connection.hear().unwrap_err().kind(), ErrorKind::ConnectionReset);
            println!("reset {:?} after the new active was there", begun.elapsed());
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
    });
    assert_eq!(world.connect(place, world.service()).ask().unwrap(), Member::New);
}

/// kube-proxy follows the Service later than the agent does; until then what a client sends makes a flow to the old pod again.
#[rstest]
#[case::iptables(Mode::Iptables)]
#[case::nftables(Mode::Nftables)]
fn a_late_proxy_only_delays_it(#[case] mode: Mode) {
    let world = World::new(mode, Family::V4);
    let mut connection = world.connect(Place::Pod, world.service());
    assert_eq!(connection.ask().unwrap(), Member::Old);
    world.mute_old();
    connection.send().unwrap();
    thread::sleep(OUTAGE);
    let late = Duration::from_millis(1700);
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| world.run_agent(late + Duration::from_millis(1500)));
        thread::sleep(late);
        world.lead_to(Member::New);
        assert_eq!(connection.hear().unwrap_err().kind(), ErrorKind::ConnectionReset);
        let after = begun.elapsed().saturating_sub(late);
        println!("reset {after:?} after the proxy followed");
        assert!(after < Duration::from_secs(1), "{after:?}");
    });
}

/// Every other connection goes on, also to the old pod itself and to other Services on it.
#[rstest]
#[case::iptables(Mode::Iptables)]
#[case::nftables(Mode::Nftables)]
fn no_other_flow_is_touched(#[case] mode: Mode) {
    let world = World::new(mode, Family::V4);
    let other_port = (world.service().ip(), OTHER_PORT).into();
    let mut stale = world.connect(Place::Pod, world.service());
    assert_eq!(stale.ask().unwrap(), Member::Old);
    world.lead_to(Member::New);
    let mut others: Vec<_> = [Place::Pod, Place::Node]
        .into_iter()
        .flat_map(|place| {
            [
                (world.connect(place, world.service()), Member::New),
                (world.connect(place, world.other_service()), Member::Old),
                (world.connect(place, other_port), Member::Old),
                (world.connect(place, world.pod_of(Member::Old)), Member::Old),
                (world.connect(place, world.pod_of(Member::New)), Member::New),
            ]
        })
        .collect();
    let answers = |others: &mut Vec<(crate::world::Connection, Member)>| {
        for (connection, member) in others {
            assert_eq!(connection.ask().unwrap(), *member);
        }
    };
    answers(&mut others);
    let ids = || {
        world.on_the_node(|| {
            let mut conntrack = Conntrack::open().unwrap();
            let addresses = [
                world.service(),
                world.other_service(),
                other_port,
                world.pod_of(Member::Old),
                world.pod_of(Member::New),
            ];
            let flows = addresses.into_iter().flat_map(|address| conntrack.flows(address).unwrap());
            flows.map(|flow| (flow.client, flow.id)).collect::<Vec<_>>()
        })
    };
    let before = ids();
    assert_eq!(before.len(), others.len() + 1);
    world.run_agent(Duration::from_secs(2));
    let (after, gone) = (ids(), stale.client());
    assert_eq!(after, before.into_iter().filter(|(client, _)| *client != gone).collect::<Vec<_>>());
    answers(&mut others);
    assert_eq!(stale.hear().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A tickle by mistake costs an answer, nothing else, and leaves no trace in connection tracking.
#[rstest]
#[case::from_a_pod(Place::Pod)]
#[case::from_the_node(Place::Node)]
fn a_tickled_connection_that_is_well_goes_on(#[case] place: Place) {
    let world = World::new(Mode::Nftables, Family::V4);
    let mut connection = world.connect(place, world.service());
    assert_eq!(connection.ask().unwrap(), Member::Old);
    let client = connection.client();
    world.on_the_node(|| {
        for _ in 0..5 {
            tickle::tickle(Tickle { from: world.service(), to: client }).unwrap();
            thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(Conntrack::open().unwrap().flows(client).unwrap(), [], "a flow from the Service to the client");
    });
    assert_eq!(connection.ask().unwrap(), Member::Old);
    let flows = world.on_the_node(|| Conntrack::open().unwrap().flows(world.service()).unwrap());
    assert_eq!(flows.iter().map(|flow| flow.client).collect::<Vec<_>>(), [client]);
}

#[test]
fn a_flow_that_is_gone_is_no_error() {
    let world = World::new(Mode::Iptables, Family::V4);
    let mut connection = world.connect(Place::Pod, world.service());
    assert_eq!(connection.ask().unwrap(), Member::Old);
    world.on_the_node(|| {
        let mut conntrack = Conntrack::open().unwrap();
        let flows = conntrack.flows(world.service()).unwrap();
        assert_eq!(flows.len(), 1);
        assert!(flows[0].established);
        assert!(conntrack.delete(&flows[0].id).unwrap());
        assert!(!conntrack.delete(&flows[0].id).unwrap());
    });
}
