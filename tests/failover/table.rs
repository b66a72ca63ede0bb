//! Each step of the state machine, and each refusal, by phase.

use kudu_pair::{
    api::{Answer, FailoverMode, MemberState, Phase, SwitchKind, SwitchOutcome, SwitchRecord, SwitchStep, TriedMember},
    failover::{
        action::{Action, Decision},
        decide::decide,
        member::{GapReport, LagReport},
        observation::Observation,
        order::{Order, order_for},
    },
    wal::OpId,
};
use rstest::rstest;

use super::fixture::*;

mod conditions;
mod deadlines;
mod edits;
mod encryption;
mod failover;
mod fenced;
mod gaps;
mod initialize;
mod kill_time;
mod overview;
mod policy;
mod promoting;
mod receipts;
mod rolling;
mod stay;
mod switchover;
mod volumes;

fn fence(epoch: i64) -> Action {
    Action::FenceLease { resource_version: "50".to_owned(), epoch }
}

/// A decision either writes memory or acts on memory already written.
fn never_both(seen: &Observation, decision: &Decision) {
    let memory = |status: &kudu_pair::api::PairStatus| {
        let switch = status.switch.clone().map(|switch| SwitchRecord { waiting_for: None, ..switch });
        (status.active.clone(), status.epoch, status.catalog.clone(), switch, status.last_switch.clone())
    };
    let before = memory(&seen.status());
    for action in &decision.actions {
        if let Action::WriteStatus(status) = action {
            assert!(memory(status) == before || effects(decision).is_empty(), "{decision:#?}");
            assert!(memory(status) == before || matches!(decision.actions[0], Action::WriteStatus(_)), "{decision:#?}");
        }
    }
}

fn decided(seen: &Observation) -> Decision {
    let decision = decide(seen);
    never_both(seen, &decision);
    decision
}
