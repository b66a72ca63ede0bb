//! The words of a plan: why a verdict is what it is, and what each choice would do.

use super::{
    alteration::count,
    describe::Event,
    fold::Story,
    messages::{Life, TabletState, table, tablet},
    verdict::{Choices, ConflictReason, SupersededReason, Verdict},
};
use crate::catalog::EntryType;

/// Why.
pub(super) fn why(name: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Replay => format!("the new active has not touched {name} since the two logs parted"),
        Verdict::AlreadyReplayed => {
            format!(
                "the new active's log holds the last row of {name} of this gap, byte for byte: it was replayed before"
            )
        }
        Verdict::Superseded { reason } => match reason {
            SupersededReason::Overtaken => format!(
                "only reports of tablet servers about {name}, which they repeat to every new master; the newer one counts"
            ),
            SupersededReason::SameOnBothSides => {
                format!(
                    "the new active was asked for the very same, as by a client that tried again: {name} is so already"
                )
            }
            SupersededReason::DroppedOnBothSides => format!("{name} was dropped on both sides"),
            SupersededReason::OwnOfEachReign => {
                "keys and identity of the cluster: the new active has its own, and others would shut clients out"
                    .to_owned()
            }
            SupersededReason::Housekeeping => {
                "remains of tables that were dropped before the two logs parted".to_owned()
            }
        },
        Verdict::Conflict { reason } => match reason {
            ConflictReason::NameTaken { name, by } => {
                format!("the new active has another table named {name} (id {by})")
            }
            ConflictReason::NameMayBeTaken { name, by } => format!(
                "the table with the id {by} may be named {name} still: it is not replayed, and the logs do not go back to its name"
            ),
            ConflictReason::AlteredOnBothSides => format!("{name} was altered in the gap and by the new active"),
            ConflictReason::DroppedHereAlteredThere => {
                format!("{name} was dropped in the gap, and the new active has altered it since")
            }
            ConflictReason::AlteredHereDroppedThere => {
                format!("{name} was altered in the gap, and the new active has dropped it since")
            }
            ConflictReason::TabletsGone { tablets } => {
                format!("{} of {name} on no tablet server any more: {}", are(tablets.len()), tablets.join(", "))
            }
            ConflictReason::NotUnderstood { what } => format!("this version does not understand it: {what}"),
        },
    }
}

fn are(tablets: usize) -> String {
    format!("{} {}", count(tablets, "tablet"), if tablets == 1 { "is" } else { "are" })
}

/// What each choice would do.
pub(super) fn choices(name: &str, verdict: &Verdict, story: &Story, there: &[Event]) -> Choices {
    let keep = format!("the operations about {name} stay in quarantine, and the next plan looks at them again");
    let nothing = "nothing: there is nothing to do".to_owned();
    let (replay, discard) = match verdict {
        Verdict::Replay => (effect(name, story), lost(name, story)),
        Verdict::AlreadyReplayed | Verdict::Superseded { .. } => (nothing.clone(), nothing),
        Verdict::Conflict { reason } => (obstacle(name, reason, there), lost(name, story)),
    };
    Choices { replay, keep, discard }
}

fn tablets(story: &Story) -> impl Iterator<Item = TabletState> {
    let tablets = story.rows.iter().filter(|((entry_type, _), _)| *entry_type == EntryType::Tablet);
    tablets.filter_map(|(_, metadata)| tablet(metadata)).map(|entry| entry.tablet_state())
}

fn is_dropped(story: &Story) -> bool {
    story.own_row().and_then(table).is_some_and(|entry| entry.life() != Life::Live)
}

fn told(events: &[Event]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn effect(name: &str, story: &Story) -> String {
    if is_dropped(story) {
        return format!(
            "drops {name}: tablet servers delete its tablets with all rows, also those written after the two logs parted"
        );
    }
    let gone = tablets(story).filter(|state| *state == TabletState::Deleted).count();
    let takes_away = match gone {
        0 => String::new(),
        gone => format!(
            "; {} deleted from the tablet servers with all rows, also those written after the two logs parted",
            are(gone)
        ),
    };
    match told(&story.events).as_str() {
        "" => format!("what tablet servers last reported of {name} is known to the new active again"),
        events => {
            format!("{name} is again as the gap left it ({events}), with the rows that its tablets hold{takes_away}")
        }
    }
}

fn lost(name: &str, story: &Story) -> String {
    if is_dropped(story) {
        return format!("{name} stays, or stays away, as the new active has it");
    }
    let created = story.events.iter().any(|event| matches!(event, Event::CreateTable { .. }));
    match (created, told(&story.events).as_str()) {
        (true, _) => format!(
            "{name} of the gap is given up; {} stay on the tablet servers as orphans, with their rows, until somebody deletes them",
            count(tablets(story).count(), "tablet")
        ),
        (false, "") => "nothing is lost: tablet servers report again".to_owned(),
        (false, events) => format!("given up: {events}"),
    }
}

fn obstacle(name: &str, reason: &ConflictReason, there: &[Event]) -> String {
    let theirs = match told(there).as_str() {
        "" => String::new(),
        events => format!(" ({events})"),
    };
    match reason {
        ConflictReason::NameTaken { name, .. } => {
            format!("not possible while another table is named {name}: rename or drop that one, then plan again")
        }
        ConflictReason::NameMayBeTaken { .. } => {
            "not possible before the other table is replayed, or logs are given that go back further".to_owned()
        }
        ConflictReason::AlteredOnBothSides => format!(
            "not possible: it would undo what the new active did{theirs}, which tablet servers have already; make the gap's \
             changes to {name} by hand"
        ),
        ConflictReason::DroppedHereAlteredThere => {
            format!("not possible: somebody uses {name}{theirs}; drop it by hand if it is to go")
        }
        ConflictReason::AlteredHereDroppedThere => {
            format!("not possible: tablet servers have deleted the rows of {name}, or are about to")
        }
        ConflictReason::TabletsGone { .. } => format!(
            "not possible: {name} would have tablets without rows; bring the tablet servers that hold them back, then plan again"
        ),
        ConflictReason::NotUnderstood { .. } => "not possible with this version".to_owned(),
    }
}
