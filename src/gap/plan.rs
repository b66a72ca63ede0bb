//! Decides, table by table, what of a gap can be replayed. A function of data alone: the same logs give the same plan.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;

use super::{
    describe::Event,
    fold::{Story, fold},
    messages::{Life, TabletState, substance, table, tablet},
    model::{Catalog, RowKey},
    read::{Gap, GapOp},
    verdict::{Choices, ConflictReason, Subject, SupersededReason, Verdict},
    words::{choices, why},
};
use crate::{
    catalog::{CatalogError, EntryType},
    wal::OpId,
};

/// What a plan is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The old active's log, parted at the diff-head.
    pub gap: &'a Gap,
    /// The new active's log, parted at the diff-head.
    pub since: &'a Gap,
    /// The ids of all tablets that tablet servers hold, if somebody has asked them.
    pub held_tablets: Option<&'a BTreeSet<String>>,
}

/// What is to become of one table's operations, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is about.
    pub subject: Subject,
    /// Its name for people: a table's last one in the gap.
    pub name: String,
    /// What is to become of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What was done to it in the gap, but for reports of tablets.
    pub here: Vec<Event>,
    /// What the new active did to it since the diff-head, but for reports of tablets.
    pub there: Vec<Event>,
    /// The gap's operations about it.
    pub ops: Vec<OpId>,
    /// Why so, in words.
    pub why: String,
    /// What each choice would do, in words.
    pub choices: Choices,
    /// The rows that a replay sets.
    #[serde(skip)]
    pub(super) rows: BTreeMap<RowKey, Bytes>,
}

/// What is to become of a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The last operation at which both logs agree.
    pub diff_head: Option<OpId>,
    /// The gap's last operation.
    pub gap_head: Option<OpId>,
    /// The new active's last operation that was taken into account.
    pub active_head: Option<OpId>,
    /// Whether the whole catalog at the diff-head was known.
    pub catalog_known: bool,
    /// What is to become of each table, in the order of the gap.
    pub items: Vec<Item>,
    /// Tables that are replayed together or not at all, as they hand names to each other: positions in `items`.
    pub together: Vec<Vec<usize>>,
}

impl Plan {
    /// Those to be replayed.
    pub fn replayed(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.verdict == Verdict::Replay)
    }
}

/// Plans.
///
/// # Errors
/// When an operation of either side cannot be read: what it does to which table is not known then.
pub fn plan(sides: Sides<'_>) -> Result<Plan, CatalogError> {
    if let Some(error) = sides.gap.unreadable().or_else(|| sides.since.unreadable()) {
        return Err(error.clone());
    }
    // Both logs tell of the same catalog at the diff-head, each as far back as it goes.
    let before = sides.since.before.joined(&sides.gap.before);
    let (here, there) = (fold(&before, &sides.gap.ops), fold(&before, &sides.since.ops));
    let mut now = before.clone();
    sides.since.ops.iter().flat_map(GapOp::readable).for_each(|row| now.apply(row));
    let mut candidates: Vec<Candidate<'_>> = here
        .iter()
        .map(|(subject, story)| {
            let other = there.get(subject);
            let rows = rows_to_set(story, other, &now);
            let verdict = judge(sides, subject, story, other, &rows);
            Candidate { subject, story, other, rows, verdict }
        })
        .collect();
    // In the gap's order, which is the order in which names became free.
    candidates.sort_by_key(|candidate| (candidate.story.ops.first().copied(), candidate.subject));
    free_names(&mut candidates, &now);
    let together = groups(&candidates, &now, before.is_complete());
    let items = candidates.into_iter().map(|candidate| candidate.item(&before)).collect();
    Ok(Plan {
        diff_head: sides.gap.after,
        gap_head: sides.gap.last(),
        active_head: sides.since.last(),
        catalog_known: before.is_complete(),
        items,
        together,
    })
}

struct Candidate<'a> {
    subject: &'a Subject,
    story: &'a Story,
    other: Option<&'a Story>,
    rows: BTreeMap<RowKey, Bytes>,
    verdict: Verdict,
}

impl Candidate<'_> {
    /// The name that its table would have for clients, if it is one.
    fn live_name(&self) -> Option<Bytes> {
        let entry = self.story.own_row().and_then(table)?;
        let is_table = matches!(self.subject, Subject::Table { .. });
        (is_table && entry.life() == Life::Live).then(|| entry.name.unwrap_or_default())
    }

    fn table_id(&self) -> Option<Bytes> {
        match self.subject {
            Subject::Table { id } => Some(Bytes::from(id.clone())),
            _ => None,
        }
    }

    fn item(self, before: &Catalog) -> Item {
        let name = match self.subject {
            Subject::Table { id } => match self.story.own_row().and_then(table) {
                Some(entry) => entry.name_text(),
                None => before.name_of(&Bytes::from(id.clone())),
            },
            Subject::TabletServer { uuid } => uuid.clone(),
            Subject::Row { id, .. } => id.clone(),
        };
        let there = self.other.map(|other| other.events.clone()).unwrap_or_default();
        Item {
            why: why(&name, &self.verdict),
            choices: choices(&name, &self.verdict, self.story, &there),
            subject: self.subject.clone(),
            name,
            here: self.story.events.clone(),
            there,
            ops: self.story.ops.clone(),
            rows: if self.verdict == Verdict::Replay { self.rows } else { BTreeMap::new() },
            verdict: self.verdict,
        }
    }
}

/// The rows that a replay would set: what the gap left, without reports that the new active has newer ones of.
fn rows_to_set(story: &Story, other: Option<&Story>, now: &Catalog) -> BTreeMap<RowKey, Bytes> {
    let mut rows = story.rows.clone();
    rows.retain(|key, metadata| match (key.0, now.get(key).and_then(tablet), tablet(metadata)) {
        (EntryType::Tablet, Some(theirs), Some(ours)) => {
            // One that the gap took away goes, whatever is reported of it; one that the new active took away stays away.
            !ours.is_part() || (theirs.is_part() && ours.age() > theirs.age())
        }
        // A row of its own that only Kudu changed, on both sides: the new active's is the newer.
        (EntryType::Table, _, _) => {
            story.changed_rows.contains(key) || other.is_none_or(|other| other.own_row().is_none())
        }
        _ => true,
    });
    rows.retain(|key, metadata| now.get(key) != Some(metadata));
    rows
}

fn judge(
    sides: Sides<'_>,
    subject: &Subject,
    story: &Story,
    other: Option<&Story>,
    rows: &BTreeMap<RowKey, Bytes>,
) -> Verdict {
    let superseded = |reason| Verdict::Superseded { reason };
    let conflict = |reason| Verdict::Conflict { reason };
    if matches!(subject, Subject::Row { .. }) {
        return superseded(SupersededReason::OwnOfEachReign);
    }
    // A replay writes the last row of the gap as it is: wherever the new active had exactly it, this gap was replayed.
    if other.is_some_and(|other| other.has_replayed(story)) {
        return Verdict::AlreadyReplayed;
    }
    if let Some(what) = &story.riddle {
        return conflict(ConflictReason::NotUnderstood { what: what.clone() });
    }
    if !story.changed() {
        let only_remains = story.rows.is_empty();
        return match (only_remains, rows.is_empty()) {
            (true, _) => superseded(SupersededReason::Housekeeping),
            (false, true) => superseded(SupersededReason::Overtaken),
            (false, false) if other.is_some_and(Story::changed) => superseded(SupersededReason::Overtaken),
            (false, false) => Verdict::Replay,
        };
    }
    if let Some(other) = other.filter(|other| other.changed()) {
        return both_changed(subject, story, other);
    }
    match gone(sides, rows) {
        gone if gone.is_empty() => Verdict::Replay,
        tablets => conflict(ConflictReason::TabletsGone { tablets }),
    }
}

fn both_changed(subject: &Subject, story: &Story, other: &Story) -> Verdict {
    let superseded = |reason| Verdict::Superseded { reason };
    let conflict = |reason| Verdict::Conflict { reason };
    if let Some(what) = &other.riddle {
        return conflict(ConflictReason::NotUnderstood { what: what.clone() });
    }
    let (ours, theirs) = (story.own_row(), other.own_row());
    if !matches!(subject, Subject::Table { .. }) {
        return match ours == theirs {
            true => superseded(SupersededReason::SameOnBothSides),
            false => conflict(ConflictReason::AlteredOnBothSides),
        };
    }
    let life = |row: Option<&Bytes>| row.and_then(table).map_or(Life::Live, |entry| entry.life());
    match (life(ours), life(theirs)) {
        (Life::Live, Life::Live) => {
            let decided = |row: Option<&Bytes>| row.map(|row| substance(row).ok());
            match decided(ours) == decided(theirs) && parts(story) == parts(other) {
                true => superseded(SupersededReason::SameOnBothSides),
                false => conflict(ConflictReason::AlteredOnBothSides),
            }
        }
        (Life::Live, _) => conflict(ConflictReason::AlteredHereDroppedThere),
        (_, Life::Live) => conflict(ConflictReason::DroppedHereAlteredThere),
        (ours, theirs) if ours == theirs => superseded(SupersededReason::DroppedOnBothSides),
        _ => conflict(ConflictReason::AlteredOnBothSides),
    }
}

/// The tablets that a side added, and that it took away.
fn parts(story: &Story) -> BTreeMap<&Bytes, bool> {
    let tablets = story.rows.iter().filter(|((entry_type, _), _)| *entry_type == EntryType::Tablet);
    tablets.map(|((_, id), metadata)| (id, tablet(metadata).is_some_and(|entry| entry.is_part()))).collect()
}

/// Tablets that would have to be on tablet servers, and are not.
fn gone(sides: Sides<'_>, rows: &BTreeMap<RowKey, Bytes>) -> Vec<String> {
    let Some(held) = sides.held_tablets else { return Vec::new() };
    let must_be_there = rows.iter().filter(|((entry_type, _), metadata)| {
        *entry_type == EntryType::Tablet
            && tablet(metadata).is_some_and(|entry| entry.tablet_state() == TabletState::Running)
    });
    must_be_there.map(|((_, id), _)| String::from_utf8_lossy(id).into_owned()).filter(|id| !held.contains(id)).collect()
}

/// Turns replays that would give two tables one name into conflicts, until none is left.
fn free_names(candidates: &mut [Candidate<'_>], now: &Catalog) {
    loop {
        let mut after = now.clone();
        for candidate in candidates.iter().filter(|candidate| candidate.verdict == Verdict::Replay) {
            candidate.rows.iter().for_each(|(key, metadata)| after.set(key.clone(), metadata.clone()));
        }
        let names = after.names();
        let nameless = nameless(candidates, now);
        let mut found = false;
        for candidate in candidates.iter_mut().filter(|candidate| candidate.verdict == Verdict::Replay) {
            let (Some(id), Some(name)) = (candidate.table_id(), candidate.live_name()) else { continue };
            let others = names.get(&name).map(Vec::as_slice).unwrap_or_default();
            // Only what the replay itself brings about: it sets the table's row.
            let sets = candidate.rows.contains_key(&(EntryType::Table, id.clone()));
            if let Some(by) = others.iter().find(|other| **other != id).filter(|_| sets) {
                let reason = ConflictReason::NameTaken { name: lossy(&name), by: lossy(by) };
                candidate.verdict = Verdict::Conflict { reason };
                found = true;
            } else if let Some(by) = nameless.iter().find(|_| sets && !holds(now, &id, &name)) {
                let reason = ConflictReason::NameMayBeTaken { name: lossy(&name), by: lossy(by) };
                candidate.verdict = Verdict::Conflict { reason };
                found = true;
            }
        }
        if !found {
            return;
        }
    }
}

fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a table has this name without any replay.
fn holds(now: &Catalog, id: &Bytes, name: &Bytes) -> bool {
    now.table(id).is_some_and(|entry| entry.life() == Life::Live && entry.name.as_ref() == Some(name))
}

/// Tables that keep a name which nobody knows: the gap may have given it another, that is not replayed.
fn nameless(candidates: &[Candidate<'_>], now: &Catalog) -> Vec<Bytes> {
    if now.is_complete() {
        return Vec::new();
    }
    let left = candidates.iter().filter(|candidate| candidate.verdict != Verdict::Replay);
    let made_in_the_gap = |candidate: &&Candidate<'_>| {
        candidate.story.events.iter().any(|event| matches!(event, Event::CreateTable { .. }))
    };
    left.filter(|candidate| candidate.story.own_row().is_some() && !made_in_the_gap(candidate))
        .filter_map(Candidate::table_id)
        .filter(|id| now.table(id).is_none())
        .collect()
}

/// Which replays need each other: one takes a name that another gives up. `known`: every table's name at the diff-head is.
fn groups(candidates: &[Candidate<'_>], now: &Catalog, known: bool) -> Vec<Vec<usize>> {
    let replayed: Vec<_> =
        candidates.iter().enumerate().filter(|(_, candidate)| candidate.verdict == Verdict::Replay).collect();
    if !known {
        // Names that were given up are not all known, so any may need any.
        let all: Vec<_> = replayed.iter().map(|(at, _)| *at).collect();
        return if all.is_empty() { Vec::new() } else { vec![all] };
    }
    let mut groups: Vec<(BTreeSet<Bytes>, Vec<usize>)> = Vec::new();
    for (at, candidate) in replayed {
        let old = candidate.table_id().and_then(|id| now.table(&id)).filter(|entry| entry.life() == Life::Live);
        let mut names: BTreeSet<Bytes> = old.and_then(|entry| entry.name).into_iter().collect();
        names.extend(candidate.live_name());
        let mut members = vec![at];
        groups.retain(|(others, more)| {
            let linked = !names.is_disjoint(others);
            if linked {
                names.extend(others.iter().cloned());
                members.extend(more);
            }
            !linked
        });
        members.sort_unstable();
        groups.push((names, members));
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(_, members)| members).collect();
    groups.sort();
    groups
}
