//! Each operation in words.

use std::{io::Write, path::Path};

use serde_json::json;

use super::{
    Format, GapCommandError, Outcome,
    log::{Log, clock_time},
};
use crate::{
    gap::{Described, describe},
    wal::OpId,
};

pub(super) fn show(
    gap: &Path,
    active: Option<&Path>,
    after: Option<OpId>,
    people: bool,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, GapCommandError> {
    let log = Log::read(gap)?;
    let after = match active {
        Some(active) => Some(log.diff_head(&Log::read(active)?)?),
        None => after,
    };
    let mut described = describe(&log.part(after)?);
    if people {
        for op in &mut described {
            op.events.retain(crate::gap::Event::by_a_person);
        }
        described.retain(|op| !op.events.is_empty());
    }
    if format == Format::Json {
        let ops: Vec<_> = described.iter().map(with_time).collect();
        writeln!(out, "{:#}", json!({ "after": after, "ops": ops }))?;
        return Ok(Outcome::Ok);
    }
    for op in &described {
        let time = clock_time(op.timestamp).unwrap_or_else(|| "-".to_owned());
        for event in &op.events {
            writeln!(out, "{:<16} {time:<27}  {event}", op.op_id.to_string())?;
        }
    }
    Ok(Outcome::Ok)
}

/// An operation as JSON, with each event's text beside its fields.
fn with_time(op: &Described) -> serde_json::Value {
    let events: Vec<_> = op
        .events
        .iter()
        .map(|event| {
            let mut fields = json!(event);
            if let Some(fields) = fields.as_object_mut() {
                fields.insert("text".to_owned(), json!(event.to_string()));
                fields.insert("byAPerson".to_owned(), json!(event.by_a_person()));
            }
            fields
        })
        .collect();
    json!({ "opId": op.op_id, "time": clock_time(op.timestamp), "timestamp": op.timestamp, "events": events })
}
