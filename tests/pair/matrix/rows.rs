//! The system catalog row by row, as `kudu local_replica dump rowset` prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use kudu_pair::wal::SYS_CATALOG_TABLET_ID;

use super::metrics;
use crate::kudu::{self, Home};

/// Flushes whatever there is, at once: the tool prints only what is on disk.
const FLUSH_AT_ONCE: [&str; 2] = ["--flush_threshold_secs=0", "--maintenance_manager_polling_interval_ms=20"];

/// The metadata of each row, by the row's type and id; all as the tool escapes them.
pub(super) type Rows = BTreeMap<(String, String), String>;

/// The rows of a master that is stopped, with the last state of each.
///
/// A master that nobody knows is run on a copy of its files until it has applied and flushed all that its log holds: so what
/// is compared is what a master makes of the files, and not how much of it was flushed when it ended.
pub(super) fn rows(wal: &Path, data: &Path) -> Rows {
    let copy = Home::new(kudu::loopback());
    kudu::copy_folder(wal, &copy.path().join("wal"));
    kudu::copy_folder(data, &copy.path().join("data"));
    let ip = copy.address.ip();
    let pages = [
        "--webserver_enabled=true".to_owned(),
        format!("--webserver_interface={ip}"),
        format!("--webserver_port={}", metrics::PORT),
    ];
    let flags = FLUSH_AT_ONCE.into_iter().chain(kudu::PROMOTION_FLAGS).chain(pages.iter().map(String::as_str));
    let master = copy.serve(&flags.collect::<Vec<_>>());
    kudu::wait_for("all of the catalog to be flushed", || metrics::is_flushed(&copy));
    let expected = metrics::of_catalog(&copy, "live_row_count")["value"].as_u64();
    master.kill();

    let mut words = vec!["local_replica", "dump", "rowset", SYS_CATALOG_TABLET_ID, "--dump_metadata=false"];
    let files = copy.fs_flags();
    words.extend(files.iter().map(String::as_str));
    let output = kudu::try_kudu(words);
    assert!(output.status.success(), "the catalog cannot be dumped: {}", String::from_utf8_lossy(&output.stderr));
    let rows = parse(&output.stdout);
    assert_eq!(u64::try_from(rows.len()).ok(), expected, "rows are missing from the dump");
    rows
}

/// The rows that are not the same, in words.
pub(super) fn differences(active: &Rows, promoted: &Rows) -> Vec<String> {
    let keys: BTreeSet<_> = active.keys().chain(promoted.keys()).collect();
    keys.into_iter()
        .filter(|key| active.get(*key) != promoted.get(*key))
        .map(|key| format!("{key:?}\n  active:   {:?}\n  promoted: {:?}", active.get(key), promoted.get(key)))
        .collect()
}

fn parse(dump: &[u8]) -> Rows {
    // The tool escapes what is not printable, except bytes that could be text of some language.
    let text: String = dump.iter().map(|byte| char::from(*byte)).collect();
    let mut rows = Rows::new();
    for line in text.lines().filter(|line| line.starts_with("RowIdxInBlock")) {
        let fields = line.split_once("Base: (").map(|(_, base)| row(base));
        let (key, metadata) = fields.flatten().unwrap_or_else(|| panic!("not a row: {line}"));
        if let Some(metadata) = metadata {
            let twice = rows.insert(key, metadata);
            assert_eq!(twice, None, "a row is there twice: {line}");
        }
    }
    rows
}

/// Key and last metadata of a row; no metadata when the last change deleted it.
fn row(base: &str) -> Option<((String, String), Option<String>)> {
    let (entry_type, rest) = base.strip_prefix("int8 entry_type=")?.split_once(", string entry_id=")?;
    let (id, rest) = quoted(rest)?;
    let (metadata, rest) = quoted(rest.strip_prefix(", string metadata=")?)?;
    // What undoes changes is history: how far back it reaches depends on when a master compacted.
    let (_, changes) = rest.rsplit_once("; Redo Mutations: [")?;
    let mut last = Some(metadata);
    let mut rest = changes;
    while let Some((_, change)) = rest.split_once('(') {
        (last, rest) = if let Some(set) = change.strip_prefix("SET metadata=") {
            let (metadata, rest) = quoted(set)?;
            (Some(metadata), rest)
        } else if let Some(rest) = change.strip_prefix("DELETE") {
            (None, rest)
        } else {
            return None;
        };
    }
    Some(((entry_type.to_owned(), id.to_owned()), last.map(str::to_owned)))
}

/// Splits `"…"…` behind its closing quotation mark.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some((&text[..at], &text[at + 1..])),
            _ => escaped = false,
        }
    }
    None
}

#[test]
fn the_last_state_of_a_row_is_read() {
    let dump = concat!(
        "Dumping rowset 2\n",
        r#"RowIdxInBlock: 0; Base: (int8 entry_type=1, string entry_id="a\"b", string metadata="old(1"); "#,
        r#"Undo Mutations: [@1(SET metadata="older"), @2(DELETE)]; Redo Mutations: [@3(SET metadata="new"), @4(SET metadata="n\\")];"#,
        "\n",
        r#"RowIdxInBlock: 1; Base: (int8 entry_type=2, string entry_id="c", string metadata="x"); "#,
        r#"Undo Mutations: []; Redo Mutations: [@3(DELETE)];"#,
        "\n",
        r#"RowIdxInBlock: 2; Base: (int8 entry_type=2, string entry_id="d", string metadata="y"); "#,
        r#"Undo Mutations: []; Redo Mutations: [];"#,
        "\n",
    );
    let key = |entry_type: &str, id: &str| (entry_type.to_owned(), id.to_owned());
    let expected = Rows::from([(key("1", r#"a\"b"#), r"n\\".to_owned()), (key("2", "d"), "y".to_owned())]);
    assert_eq!(parse(dump.as_bytes()), expected);
    let changed = Rows::from([(key("2", "d"), "z".to_owned())]);
    assert_eq!(differences(&expected, &changed).len(), 2);
}
