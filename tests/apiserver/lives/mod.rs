//! Whole lives of pairs on a real API server, with real controllers, whose leader is stopped at each write that matters.
//!
//! Two replicas of the controller run as processes, with the rights that the chart gives them, each behind a door ([`door`]) that
//! can kill or freeze it at a write. The members are a stand-in ([`members`], [`kubelet`]): no kubelet runs here. What was ever
//! written is checked afterwards ([`history`]), and what came out is compared with a life without trouble.

mod door;
mod history;
mod kubelet;
mod kubelet_logs;
mod leaders;
mod members;
mod page;
mod plugin;
mod replicas;
mod world;
