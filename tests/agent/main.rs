//! The node agent on a real kernel: network namespaces as a node and its pods, with rules like kube-proxy's.
//!
//! They need root, `ip`, `iptables` and `nft`; `deploy/local/cluster build` installs the programs.

mod cutting;
mod namespace;
mod world;
