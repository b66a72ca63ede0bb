//! The node agent: on every node, long-lived connections follow the pair's active.
//!
//! A node that goes silent tells nobody. Whoever had a connection to the active through the pair's Service goes on sending to
//! it, because the kernel remembers for each flow where it was sent first: neither FIN nor RST comes, and the client waits for
//! minutes. At each new active the agent makes this node's kernel forget such flows. The next segment of each of them is then
//! sent to the new active, which does not know the connection and answers RST, and the client connects anew. So that this does
//! not have to wait for the client's next retransmission, the agent provokes a segment (see [`segment`]).
//!
//! No other flow is ever touched: [`plan`] says which ones are stale.

mod conntrack;
mod ctnetlink;
pub mod limits;
pub mod plan;
pub mod routes;
mod run;
pub mod segment;
mod sweep;
pub mod tickle;

pub use conntrack::Conntrack;
pub use ctnetlink::FlowId;
pub use run::{Options, run};
pub use sweep::sweep;
