//! A probe of the real service: asks a kudu-master what a client would, and sees whether it answers at all.
//!
//! A process that hangs still takes connections, since the kernel does. So the probe negotiates like a client and asks for the
//! tables of a name that no table has: through the acceptor, the negotiation, the queue of the service, its threads and
//! the locks of the catalog. *Any* answer is one, an error as well: a master that loads its catalog or is overloaded says so. One
//! that talks to nobody in plain text (`--rpc_encryption=required`) answers to the negotiation, and is asked no more.

use std::{io, time::Duration};

use prost::Message;
use tokio::time::timeout;

use crate::{
    failover::hung::Seen,
    rpc::{self, Connected, Method},
};

/// What goes the way of a client's calls, through the queue of the service and the locks of the catalog. Nothing of its answer is
/// as long as the catalog.
const LIST_TABLES: Method =
    Method { service: "kudu.master.MasterService", name: "ListTables", longest_reply: 1024 * 1024 };

/// Nobody gives a table such a name; whoever does gets it back, which is an answer as well.
const NO_TABLE: &str = "\u{1}kudu-pair probes\u{1}";

#[derive(Clone, PartialEq, Message)]
struct ListTables {
    #[prost(string, optional, tag = "1")]
    name_filter: Option<String>,
}

/// Any answer will do.
#[derive(Clone, PartialEq, Message)]
struct Anything {}

/// Asks the master at `address` once, over a connection of its own as a new client would.
pub async fn ask(address: &str, patience: Duration) -> Seen {
    match timeout(patience, converse(address, patience)).await {
        Ok(Ok(())) => Seen::Answered,
        // Nobody listens, or the process ended: that is seen by its launcher.
        Ok(Err(_)) => Seen::Absent,
        Err(_) => Seen::Silent,
    }
}

async fn converse(address: &str, patience: Duration) -> io::Result<()> {
    let Connected::Ready(mut master) = rpc::connect(address).await? else { return Ok(()) };
    let list = ListTables { name_filter: Some(NO_TABLE.to_owned()) };
    let timeout_millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    master.call::<Anything>(LIST_TABLES, timeout_millis, &list).await.map(drop)
}

/// Where the kudu-master of this pod is reached that binds its RPC to `bind`.
pub fn own_address(bind: &str) -> String {
    match bind.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => bind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn one_that_takes_connections_and_says_nothing_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(ask(&address, PATIENCE).await, Seen::Silent);
        drop(listener);
        assert_eq!(ask(&address, PATIENCE).await, Seen::Absent);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_the_end_of_the_process_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let master = async {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(&[0, 0, 0, 3, 1, 2, 3]).await.unwrap();
            let (client, _) = listener.accept().await.unwrap();
            drop(client);
        };
        let (first, second) =
            tokio::join!(async { (ask(&address, PATIENCE).await, ask(&address, PATIENCE).await) }, master).0;
        assert_eq!((first, second), (Seen::Answered, Seen::Absent));
    }

    #[test]
    fn a_master_that_binds_every_address_is_asked_on_its_own_machine() {
        assert_eq!(own_address("0.0.0.0:7051"), "127.0.0.1:7051");
        assert_eq!(own_address("[::]:7051"), "[::1]:7051");
        assert_eq!(own_address("127.1.2.3:7051"), "127.1.2.3:7051");
    }
}
