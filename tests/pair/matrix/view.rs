//! What clients see of a whole catalog.

use std::{collections::BTreeMap, time::Instant};

use super::rpc::Client;
use crate::{
    kudu::{self, Home},
    member::PATIENCE,
};

/// All that is told of each table, by its name.
pub(crate) type View = BTreeMap<String, String>;

/// Tables that are told of only by the RPC which `kudu table describe` makes too: a process for each of hundreds takes too long.
const PLAIN: &str = "many_";

/// The view now: of each table its schema, partitions, owner and comment as the master answers them and as `kudu table describe`
/// prints them, and its tablets with their replicas.
pub(crate) fn look(client: &mut Client, tools: &Home) -> View {
    let listed = tools.table("list", &["--list_tablets"]);
    let mut view = View::new();
    let mut tablets: Vec<&str> = Vec::new();
    let mut lines = listed.lines().filter(|line| !line.is_empty()).peekable();
    while let Some(name) = lines.next() {
        tablets.clear();
        // A tablet and its replicas are printed below it, indented; their order is not the same each time.
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            tablets.push(line);
        }
        tablets.sort_unstable();
        let mut text = format!("{}\n{}\n", client.table(name), tablets.join("\n"));
        if !name.starts_with(PLAIN) {
            text.push_str(&tools.table("describe", &[name, "--show_attributes", "--show_column_comment"]));
        }
        view.insert(name.to_owned(), text);
    }
    view
}

/// The view once all tablets are placed and their tablet server says so.
pub(crate) fn look_at_rest(client: &mut Client, tools: &Home) -> View {
    let begin = Instant::now();
    let mut tablets = String::new();
    loop {
        let now = tools.table("list", &["--list_tablets"]);
        if kudu::try_kudu(["cluster", "ksck", &tools.address.to_string()]).status.success()
            && now.len() == tablets.len()
        {
            return look(client, tools);
        }
        assert!(begin.elapsed() < PATIENCE, "ksck is not satisfied within {PATIENCE:?}:\n{now}");
        tablets = now;
    }
}

/// What `kudu cluster ksck` says of the tables, which must be that all is well.
pub(crate) fn ksck(tools: &Home) -> Vec<String> {
    let address = tools.address.to_string();
    let text = kudu::kudu(["cluster", "ksck", &address, "--sections=TABLE_SUMMARIES"]);
    let mut lines: Vec<_> = text.lines().filter(|line| line.contains('|')).map(str::to_owned).collect();
    lines.sort();
    assert!(!lines.is_empty(), "{text}");
    lines
}
