//! Asks tablet servers which tablets they hold.
//!
//! A gap may have made a table whose tablets were deleted from the tablet servers meanwhile: replayed, it would be a table that nobody
//! can read. The answer counts only when every tablet server that the master knows has given it. Field numbers are those of Kudu
//! 1.18.1's `master.proto`, `tserver.proto`, `tablet.proto`, `wire_protocol.proto` and `common.proto`.

use std::{collections::BTreeSet, io, time::Duration};

use futures::future::try_join_all;
use prost::Message;
use tokio::time::timeout;

use crate::rpc::{self, Connected, Method};

/// Longest list that is read, in bytes: some 100,000 tablets.
const LONGEST_LIST: usize = 64 * 1024 * 1024;
const LIST_TABLET_SERVERS: Method =
    Method { service: "kudu.master.MasterService", name: "ListTabletServers", longest_reply: LONGEST_LIST };
const LIST_TABLETS: Method =
    Method { service: "kudu.tserver.TabletServerService", name: "ListTablets", longest_reply: LONGEST_LIST };
/// `TABLET_DATA_READY`.
const DATA_READY: i32 = 1;

/// `ListTabletServersRequestPB`.
#[derive(Clone, PartialEq, Message)]
struct ListTabletServers {}

/// `ListTabletServersResponsePB`.
#[derive(Clone, PartialEq, Message)]
struct TabletServers {
    #[prost(bytes = "vec", optional, tag = "1")]
    error: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    servers: Vec<TabletServer>,
}

#[derive(Clone, PartialEq, Message)]
struct TabletServer {
    #[prost(message, optional, tag = "2")]
    registration: Option<Registration>,
}

/// `ServerRegistrationPB`.
#[derive(Clone, PartialEq, Message)]
struct Registration {
    #[prost(message, repeated, tag = "1")]
    rpc_addresses: Vec<HostPort>,
}

/// `HostPortPB`.
#[derive(Clone, PartialEq, Message)]
struct HostPort {
    #[prost(string, required, tag = "1")]
    host: String,
    #[prost(uint32, required, tag = "2")]
    port: u32,
}

/// `ListTabletsRequestPB`.
#[derive(Clone, PartialEq, Message)]
struct ListTablets {
    #[prost(bool, optional, tag = "1")]
    need_schema_info: Option<bool>,
}

/// `ListTabletsResponsePB`.
#[derive(Clone, PartialEq, Message)]
struct Tablets {
    #[prost(bytes = "vec", optional, tag = "1")]
    error: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    tablets: Vec<Tablet>,
}

#[derive(Clone, PartialEq, Message)]
struct Tablet {
    #[prost(message, optional, tag = "1")]
    status: Option<TabletStatus>,
}

/// `TabletStatusPB`.
#[derive(Clone, PartialEq, Message)]
struct TabletStatus {
    #[prost(string, required, tag = "1")]
    tablet_id: String,
    #[prost(int32, optional, tag = "8")]
    tablet_data_state: Option<i32>,
}

/// Why it is not known which tablets there are.
#[derive(Debug, thiserror::Error)]
pub enum TabletsUnknown {
    /// A server cannot be reached, or does not answer in time.
    #[error("{who} does not answer: {source}")]
    Silent {
        /// The master or a tablet server, and its address.
        who: String,
        /// Why.
        source: io::Error,
    },
    /// A server does not tell.
    #[error("{who} does not tell: {why}")]
    Refused {
        /// The master or a tablet server, and its address.
        who: String,
        /// What it says.
        why: String,
    },
}

/// The ids of all tablets whose data is on a tablet server that the master at `master` knows. Each server has `patience` to answer.
///
/// # Errors
/// When one of them does not answer: what it holds is not known then.
pub async fn held_tablets(master: &str, patience: Duration) -> Result<BTreeSet<String>, TabletsUnknown> {
    let who = format!("the master at {master}");
    let known: TabletServers = ask(&who, master, patience, LIST_TABLET_SERVERS, &ListTabletServers {}).await?;
    no_error(&who, known.error.is_some())?;
    let addresses = known.servers.into_iter().map(|server| {
        let address = server.registration.and_then(|registration| registration.rpc_addresses.into_iter().next());
        address.map(|HostPort { host, port }| format!("{host}:{port}")).unwrap_or_default()
    });
    let lists = try_join_all(addresses.map(|address| async move { tablets_of(&address, patience).await })).await?;
    Ok(lists.into_iter().flatten().collect())
}

async fn tablets_of(address: &str, patience: Duration) -> Result<Vec<String>, TabletsUnknown> {
    let who = format!("the tablet server at {address}");
    let list = ListTablets { need_schema_info: Some(false) };
    let held: Tablets = ask(&who, address, patience, LIST_TABLETS, &list).await?;
    no_error(&who, held.error.is_some())?;
    let statuses = held.tablets.into_iter().filter_map(|tablet| tablet.status);
    let ready = statuses.filter(|status| status.tablet_data_state == Some(DATA_READY));
    Ok(ready.map(|status| status.tablet_id).collect())
}

fn no_error(who: &str, error: bool) -> Result<(), TabletsUnknown> {
    let refused = || TabletsUnknown::Refused { who: who.to_owned(), why: "it answers with an error".to_owned() };
    if error { Err(refused()) } else { Ok(()) }
}

async fn ask<T: Message + Default>(
    who: &str,
    address: &str,
    patience: Duration,
    method: Method,
    body: &impl Message,
) -> Result<T, TabletsUnknown> {
    let timeout_millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let asked = async {
        match rpc::connect(address).await? {
            Connected::Ready(mut server) => server.call(method, timeout_millis, body).await,
            Connected::Declined => Ok(Err("it talks only to clients that encrypt, or that it knows".to_owned())),
        }
    };
    match timeout(patience, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(answer) => answer.map_err(|why| TabletsUnknown::Refused { who: who.to_owned(), why }),
        Err(source) => Err(TabletsUnknown::Silent { who: who.to_owned(), source }),
    }
}
