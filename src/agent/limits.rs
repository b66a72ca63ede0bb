//! What keeps the agent from doing its work on this node; said in its log when it starts.

use std::{fs, io, net::Ipv4Addr, path::Path};

use super::{conntrack::Conntrack, tickle};

/// Services of IPVS, when the kernel has it.
const IPVS: &str = "/proc/net/ip_vs";
/// Whether a flow may begin with a segment that opens no connection.
const LOOSE: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";

/// What an agent on this node cannot do, a sentence each with what to do about it. Empty as a rule.
///
/// A proxy that does without connection tracking is not seen here: then no flow is ever stale.
pub fn limits() -> Vec<String> {
    let mut limits = Vec::new();
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    if let Err(error) = Conntrack::open().and_then(|mut conntrack| conntrack.flows(any)) {
        limits.push(format!(
            "cannot see this node's flows ({error}): no connection is cut over; the container needs the capability NET_ADMIN and \
             the node's network, the kernel nf_conntrack_netlink"
        ));
    }
    if let Err(error) = tickle::open(Ipv4Addr::LOCALHOST.into()) {
        limits.push(format!(
            "cannot send raw packets ({error}): clients notice only at their next retransmission, which can be as long after \
             the switch as the outage was; the container needs the capability NET_RAW"
        ));
    }
    limits.extend(read(LOOSE).and_then(|text| loose(&text)));
    limits.extend(read(IPVS).and_then(|text| ipvs(&text)));
    limits
}

/// A file that is not there says nothing.
fn read(path: impl AsRef<Path>) -> Option<String> {
    match fs::read_to_string(path.as_ref()) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(%error, file = %path.as_ref().display(), "cannot be read; going on without");
            None
        }
    }
}

fn loose(text: &str) -> Option<String> {
    (text.trim() == "0").then(|| {
        "net.netfilter.nf_conntrack_tcp_loose is 0: the kernel drops what a client sends after its flow was deleted, so \
         that it waits as if there were no agent; set it to 1, the kernel's default"
            .to_owned()
    })
}

fn ipvs(text: &str) -> Option<String> {
    text.lines().any(|line| line.starts_with("TCP ")).then(|| {
        "this node has IPVS services: if kube-proxy runs in mode ipvs, connections are not cut over; set it to \
         nftables or iptables"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_is_the_default_and_strict_is_told() {
        assert_eq!(loose("1\n"), None);
        assert!(loose("0\n").unwrap().contains("nf_conntrack_tcp_loose"));
    }

    #[test]
    fn a_table_without_services_is_no_ipvs() {
        let head = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port\n";
        assert_eq!(ipvs(head), None);
        assert!(
            ipvs(&format!("{head}TCP  0A520709:1B8B rr\n  -> 0A510107:1B8B Masq 1 0 0\n")).unwrap().contains("ipvs")
        );
    }
}
