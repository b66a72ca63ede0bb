//! The first active of a pair: which member it is, and whether it formats a catalog or takes one over.
//!
//! A pair's status can be lost while its volumes live on: the resource was deleted and made again, or restored from a
//! backup. Formatting then would throw a catalog away, so every member is heard before anything is chosen.

use super::{
    action::{Action, PairEvent, Step, Waiting},
    fenced,
    member::MemberReport,
    observation::Observation,
};
use crate::{
    api::{Catalog, MemberState, PairStatus, SwitchKind, SwitchRecord, SwitchStep},
    replication::terms,
    wal::OpId,
};

/// The first active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct First {
    /// The member.
    pub(crate) to: String,
    /// The last op of the catalog that it takes over; none when it formats one.
    pub(crate) adopted: Option<Adopted>,
}

/// A catalog that was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// Its uuid.
    pub(crate) uuid: String,
    /// Its last op.
    pub(crate) head: OpId,
}

/// Records the first active once every member has been heard.
pub(crate) fn step(seen: &Observation, status: &PairStatus) -> Step {
    let apply = Action::ApplyObjects { active: None };
    let first = match first(seen, status.catalog.as_ref(), &[]) {
        Ok(first) => first,
        Err(waiting) => return Step::wait(waiting).and(Some(apply)),
    };
    let epoch = first_epoch(seen, first.adopted.as_ref());
    let (catalog, note) = match &first.adopted {
        Some(Adopted { uuid, head }) => (
            Catalog { uuid: uuid.clone(), formatted: true },
            format!(
                "{} has the catalog {uuid} up to {head} and becomes active in epoch {epoch}; nothing is formatted",
                first.to
            ),
        ),
        None => (
            Catalog { uuid: seen.fresh_uuid.clone(), formatted: false },
            format!("no member has a catalog: {} formats one and becomes active in epoch {epoch}", first.to),
        ),
    };
    let switch = SwitchRecord {
        gate: first.adopted.as_ref().map(|adopted| adopted.head),
        to: Some(first.to),
        recorded_head: first.adopted.map(|adopted| adopted.head),
        fenced_at: Some(seen.now.into()),
        why: Some(note.clone()),
        ..SwitchRecord::new(SwitchKind::Initialize, epoch, SwitchStep::Promoting, seen.now)
    };
    let status = PairStatus { catalog: Some(catalog), switch: Some(switch), ..status.clone() };
    Step::remember_and_tell(status, PairEvent::normal("Initializing", note))
}

/// The first active, or why it cannot be said yet. Members that did not come to serve before are taken last.
pub(crate) fn first(seen: &Observation, catalog: Option<&Catalog>, tried: &[String]) -> Result<First, Waiting> {
    let reports = heard_from_all(seen)?;
    let mut found: Vec<(&MemberReport, &str, OpId)> = Vec::new();
    for report in reports.iter().copied().filter(|report| report.has_catalog) {
        let (Some(uuid), Some(head)) = (report.catalog_uuid.as_deref(), report.head) else {
            return Err(Waiting::stuck(
                "CatalogUnreadable",
                format!("{} has a catalog but does not say its uuid and last op; read its log", report.member),
            ));
        };
        found.push((report, uuid, head));
    }
    one_catalog(&found, catalog)?;
    let usable = |report: &MemberReport| report.state != MemberState::Failed;
    if found.is_empty() {
        if catalog.is_some_and(|catalog| catalog.formatted) {
            return Err(Waiting::stuck(
                "CatalogLost",
                "the catalog was formatted once but no member has it any more; bring back a volume that holds it, or delete \
                 the pair and make a new one",
            ));
        }
        let format = reports.iter().filter(|report| usable(report)).min_by_key(|report| tried.contains(&report.member));
        let to = format.ok_or_else(|| all_failed(&reports))?.member.clone();
        return unless_fenced(seen, First { to, adopted: None });
    }
    let best = found
        .into_iter()
        .filter(|(report, ..)| usable(report))
        .rev()
        .max_by_key(|(report, _, head)| (report.is_fit(), *head))
        .ok_or_else(|| all_failed(&reports))?;
    let (report, uuid, head) = best;
    unless_fenced(seen, First { to: report.member.clone(), adopted: Some(Adopted { uuid: uuid.to_owned(), head }) })
}

/// Nobody else is taken in its place: another member may hold less of the catalog.
fn unless_fenced(seen: &Observation, first: First) -> Result<First, Waiting> {
    if seen.is_fenced(&first.to) { Err(fenced::waiting(seen, &first.to)) } else { Ok(first) }
}

/// The reports of all members, by ordinal, each one saying that its kudu-master does not run.
fn heard_from_all(seen: &Observation) -> Result<Vec<&MemberReport>, Waiting> {
    let heard: Vec<_> = seen.wanted_members().filter_map(|member| member.report()).collect();
    let missing: Vec<_> =
        seen.wanted().into_iter().filter(|name| !heard.iter().any(|report| report.member == *name)).collect();
    if !missing.is_empty() {
        return Err(Waiting::stuck(
            "WaitingForMembers",
            format!(
                "waiting to hear from {}: any of them may hold a catalog, so nothing is formatted before; see its pod's events",
                missing.join(", ")
            ),
        ));
    }
    if let Some(running) = heard.iter().find(|report| !report.master_stopped) {
        return Err(Waiting::briefly(
            "WaitingForMembers",
            format!("waiting until kudu-master of {} has stopped", running.member),
        ));
    }
    Ok(heard)
}

/// Members with catalogs of different uuids were never one pair.
fn one_catalog(found: &[(&MemberReport, &str, OpId)], catalog: Option<&Catalog>) -> Result<(), Waiting> {
    let expected = catalog.map(|catalog| catalog.uuid.as_str()).or(found.first().map(|(_, uuid, _)| *uuid));
    match found.iter().find(|(_, uuid, _)| Some(*uuid) != expected) {
        None => Ok(()),
        Some((report, uuid, _)) => Err(Waiting::stuck(
            "CatalogsDiffer",
            format!(
                "{} holds the catalog {uuid}, the pair's is {}: volumes of different pairs came together; remove the wrong volume",
                report.member,
                expected.unwrap_or_default()
            ),
        )),
    }
}

fn all_failed(reports: &[&MemberReport]) -> Waiting {
    let each: Vec<_> = reports
        .iter()
        .map(|report| {
            format!("{}: {}", report.member, report.message.as_deref().unwrap_or("failed without saying why"))
        })
        .collect();
    Waiting::stuck("MembersFailed", format!("no member can become active: {}", each.join("; ")))
}

/// The first reign lies above every one that a member, the Lease or the catalog's own terms remember: a member refuses an
/// order of an older epoch than it has obeyed, and a log refuses an older term.
fn first_epoch(seen: &Observation, adopted: Option<&Adopted>) -> i64 {
    let obeyed =
        seen.wanted_members().filter_map(|member| member.report()).map(|report| report.epoch).max().unwrap_or(0);
    let terms = adopted.map_or(0, |adopted| terms::epoch_of(adopted.head.term));
    seen.next_epoch().max(obeyed + 1).max(terms + 1)
}
