//! What a master's web pages tell.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use kudu_pair::wal::SYS_CATALOG_TABLET_ID;
use serde_json::Value;

use crate::kudu::{self, Home};

/// Port of a master's web pages.
pub(super) const PORT: u16 = 8051;
/// An empty store of rows has 265 bytes; one row of the catalog is longer than what is left.
const EMPTY_STORE_LIMIT: u64 = 300;

/// One metric of the system catalog's tablet.
pub(super) fn of_catalog(master: &Home, name: &str) -> Value {
    let mut found = None;
    kudu::wait_for(&format!("the master's metric {name}"), || {
        found = page(master, &format!("/metrics?types=tablet&metrics={name}")).ok().and_then(|text| find(&text, name));
        found.is_some()
    });
    found.expect("a metric")
}

/// Whether all rows of the system catalog, and all changes to rows, are on disk; not when nobody answers.
pub(super) fn is_flushed(master: &Home) -> bool {
    let Ok(text) = page(master, "/mem-trackers") else { return false };
    let stores: Vec<_> = text.lines().filter_map(bytes_in_memory).collect();
    !stores.is_empty() && stores.iter().all(|bytes| *bytes < EMPTY_STORE_LIMIT)
}

/// Bytes that a line of the page says are in one of the catalog's stores in memory; none when it is of something else.
fn bytes_in_memory(line: &str) -> Option<u64> {
    let cells: Vec<_> = line.split("<td>").map(|cell| cell.split('<').next().unwrap_or_default()).collect();
    let [_, store, tablet, _, bytes, _] = cells[..] else { return None };
    let in_memory = store.starts_with("MemRowSet") || store == "DeltaMemStores";
    let of_catalog = tablet.strip_prefix("tablet-") == Some(SYS_CATALOG_TABLET_ID);
    // With another unit it is more than an empty store has.
    (in_memory && of_catalog).then(|| bytes.strip_suffix('B').and_then(|bytes| bytes.parse().ok()).unwrap_or(u64::MAX))
}

fn page(master: &Home, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((*master.address.ip(), PORT))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn find(text: &str, name: &str) -> Option<Value> {
    let (_, body) = text.split_once("\r\n\r\n")?;
    let entities: Value = serde_json::from_str(body).ok()?;
    let catalog = entities.as_array()?.iter().find(|entity| entity["id"] == SYS_CATALOG_TABLET_ID)?;
    catalog["metrics"].as_array()?.iter().find(|metric| metric["name"] == name).cloned()
}
