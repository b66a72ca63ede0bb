//! A node with a client's pod, the pods of two members, and a Service whose address exists in the proxy's rules alone.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use kudu_pair::agent::{
    plan::{Plan, Route},
    sweep,
};

use crate::namespace::Namespace;

/// Of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Iptables,
    Nftables,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A member's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Old,
    New,
}

/// Where a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Pod,
    Node,
}

pub(crate) struct World {
    mode: Mode,
    family: Family,
    node: Namespace,
    client: Namespace,
    old: Namespace,
    new: Namespace,
}

const PORT: u16 = 7051;
/// A port of the Service that is not the pair's.
pub(crate) const OTHER_PORT: u16 = 9999;

impl World {
    pub(crate) fn new(mode: Mode, family: Family) -> Self {
        let [node, client, old, new] = ["node", "client", "old", "new"].map(Namespace::new);
        let world = Self { mode, family, node, client, old, new };
        for (number, pod) in [(1, &world.client), (2, &world.old), (3, &world.new)] {
            world.plug(number, pod);
        }
        world.node.ip(&format!("route add {} dev pod2", world.net(99)));
        world.node.run("sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        world.serve(Member::Old);
        world.serve(Member::New);
        world.lead_to(Member::Old);
        world
    }

    fn plug(&self, number: u8, pod: &Namespace) {
        let (bits, nodad) = if self.family == Family::V4 { (24, "") } else { (64, " nodad") };
        let (gateway, address) = (self.address(number, 1), self.address(number, 2));
        self.node.ip(&format!("link add pod{number} type veth peer name eth0 netns {}", pod.name()));
        self.node.ip(&format!("addr add {gateway}/{bits} dev pod{number}{nodad}"));
        self.node.ip(&format!("link set pod{number} up"));
        pod.ip(&format!("addr add {address}/{bits} dev eth0{nodad}"));
        pod.ip("link set eth0 up");
        pod.ip(&format!("route add default via {gateway}"));
    }

    fn net(&self, number: u8) -> String {
        match self.family {
            Family::V4 => format!("10.98.{number}.0/24"),
            Family::V6 => format!("fd98:{number}::/64"),
        }
    }

    fn address(&self, net: u8, host: u8) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::from([10, 98, net, host]),
            Family::V6 => format!("fd98:{net}::{host}").parse().expect("an address"),
        }
    }

    fn pod(&self, member: Member) -> SocketAddr {
        SocketAddr::new(self.address(if member == Member::Old { 2 } else { 3 }, 2), PORT)
    }

    /// The pair's Service.
    pub(crate) fn service(&self) -> SocketAddr {
        SocketAddr::new(self.address(99, 1), PORT)
    }

    /// A Service that is not the pair's, on the old active's pod.
    pub(crate) fn other_service(&self) -> SocketAddr {
        SocketAddr::new(self.address(99, 2), PORT)
    }

    /// What the API server says.
    pub(crate) fn route(&self, to: Member) -> Route {
        Route {
            pair: ("kudu".to_owned(), "demo".to_owned()),
            active: format!("{to:?}"),
            addresses: [self.service()].into(),
            pods: [self.pod(to).ip()].into(),
        }
    }

    /// What the proxy makes of it: rules like its own, with the one that drops what connection tracking does not know.
    pub(crate) fn lead_to(&self, member: Member) {
        let leads = [
            (self.service(), self.pod(member)),
            (SocketAddr::new(self.service().ip(), OTHER_PORT), self.pod(Member::Old)),
            (self.other_service(), self.pod(Member::Old)),
        ];
        match self.mode {
            Mode::Iptables => self.iptables(leads),
            Mode::Nftables => self.nftables(leads),
        }
    }

    fn iptables(&self, leads: [(SocketAddr, SocketAddr); 3]) {
        let mut rules = "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n*nat\n".to_owned();
        for chain in ["PREROUTING", "OUTPUT"] {
            for (service, pod) in &leads {
                let (ip, port) = (service.ip(), service.port());
                rules += &format!("-A {chain} -d {ip} -p tcp --dport {port} -j DNAT --to-destination {pod}\n");
            }
        }
        rules += "COMMIT\n";
        let program = if self.family == Family::V4 { "iptables-restore" } else { "ip6tables-restore" };
        self.node.run("sh", &["-c", &format!("{program} <<'END'\n{rules}END")]);
    }

    fn nftables(&self, leads: [(SocketAddr, SocketAddr); 3]) {
        let family = if self.family == Family::V4 { "ip" } else { "ip6" };
        let leads: String = leads
            .iter()
            .map(|(service, pod)| {
                format!("{family} daddr {} tcp dport {} dnat to {pod}\n", service.ip(), service.port())
            })
            .collect();
        self.node.run(
            "nft",
            &[&format!(
                "table {family} kube-proxy {{}}\ndelete table {family} kube-proxy\ntable {family} kube-proxy {{
                chain nat-prerouting {{ type nat hook prerouting priority -100;\n{leads} }}
                chain nat-output {{ type nat hook output priority -100;\n{leads} }}
                chain filter-forward {{ type filter hook forward priority -110; ct state invalid drop; }}
                }}"
            )],
        );
    }

    /// The old active's node goes silent.
    pub(crate) fn mute_old(&self) {
        let rules = "table inet mute {
            chain input { type filter hook input priority 0; policy drop; }
            chain output { type filter hook output priority 0; policy drop; }
            }";
        self.old.run("nft", &[rules]);
    }

    /// Serves in a member's pod: answers each line with the member's name.
    fn serve(&self, member: Member) {
        let at = self.pod(member);
        let pod = if member == Member::Old { &self.old } else { &self.new };
        let listener = pod.within(|| TcpListener::bind(at)).expect("a listener");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream, member));
            }
        });
    }

    pub(crate) fn connect(&self, from: Place, to: SocketAddr) -> Connection {
        let place = if from == Place::Pod { &self.client } else { &self.node };
        let stream = place.within(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Connection(stream)
    }

    pub(crate) fn pod_of(&self, member: Member) -> SocketAddr {
        self.pod(member)
    }

    pub(crate) fn on_the_node<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.node.within(work)
    }

    /// Runs the agent on the node for so long, as if it had just heard of the new active.
    pub(crate) fn run_agent(&self, for_so_long: Duration) {
        let mut plan = Plan::default();
        let begun = Instant::now();
        plan.see(vec![self.route(Member::New)], Duration::ZERO);
        self.on_the_node(|| {
            while begun.elapsed() < for_so_long {
                sweep(&mut plan, begun.elapsed()).expect("may see and delete flows");
                thread::sleep(Duration::from_millis(100));
            }
        });
    }
}

fn answer(mut stream: TcpStream, member: Member) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        if stream.write_all(&[if member == Member::Old { b'o' } else { b'n' }]).is_err() {
            return;
        }
    }
}

pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Who answers; an error when the connection is broken.
    pub(crate) fn ask(&mut self) -> std::io::Result<Member> {
        self.send()?;
        self.hear()
    }

    pub(crate) fn send(&mut self) -> std::io::Result<()> {
        self.0.write_all(b"?")
    }

    pub(crate) fn hear(&mut self) -> std::io::Result<Member> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(if byte == *b"o" { Member::Old } else { Member::New })
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }
}
