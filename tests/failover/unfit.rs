//! A standby whose log is not the active's: who hears of it, and that it is not chosen.

use kudu_pair::{
    api::{LogFault, SwitchRecord},
    failover::{
        action::{Action, Decision, PairEvent},
        decide::decide,
        member::VerifiedReport,
        observation::Observation,
    },
};
use rstest::rstest;

use super::fixture::*;

fn events(decision: &Decision) -> Vec<&PairEvent> {
    fn event(action: &Action) -> Option<&PairEvent> {
        match action {
            Action::Event(event) => Some(event),
            _ => None,
        }
    }
    decision.actions.iter().filter_map(event).collect()
}

/// What the controller decides after it has written what it decided before.
fn again(seen: &mut Observation) -> Decision {
    *status_mut(seen) = written(&decide(seen)).clone();
    decide(seen)
}

#[test]
fn an_alarm_is_told_once_and_so_is_its_end() {
    let mut seen = running();
    let told = condition(&decide(&seen), "ReplicaVerified");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "Equal"));
    assert!(told.message.contains("demo-1 from 3000000.40 to 3000000.100"), "{}", told.message);

    make_unfit(&mut seen, "demo-1");
    let decision = decide(&seen);
    let [alarm] = events(&decision)[..] else { panic!("{:?}", decision.actions) };
    assert_eq!((alarm.warning, alarm.reason), (true, "DigestMismatch"));
    assert!(alarm.note.contains("other bytes behind 3000000.60"), "{}", alarm.note);
    let told = condition(&decision, "ReplicaVerified");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "DigestMismatch"));
    assert!(told.message.contains("quarantine/gen-2"), "{}", told.message);
    assert!(events(&again(&mut seen)).is_empty());

    // Also while the member is not heard.
    silence(&mut seen, "demo-1");
    let decision = decide(&seen);
    assert!(events(&decision).is_empty());
    assert_eq!(condition(&decision, "ReplicaVerified").status, "False");

    let mut seen = running();
    make_unfit(&mut seen, "demo-1");
    *status_mut(&mut seen) = written(&decide(&seen)).clone();
    report_mut(&mut seen, "demo-1").unfit.as_mut().unwrap().replaced = true;
    let decision = decide(&seen);
    let [end] = events(&decision)[..] else { panic!("{:?}", decision.actions) };
    assert_eq!((end.warning, end.reason), (false, "LogReplaced"));
    assert_eq!(condition(&decision, "ReplicaVerified").status, "Unknown");
    assert!(events(&again(&mut seen)).is_empty());
}

#[test]
fn an_alarm_that_was_over_before_it_was_heard_is_told() {
    let mut seen = running();
    make_unfit(&mut seen, "demo-1");
    let unfit = report_mut(&mut seen, "demo-1").unfit.as_mut().unwrap();
    (unfit.fault, unfit.replaced) = (LogFault::Damaged, true);
    let decision = decide(&seen);
    let [alarm] = events(&decision)[..] else { panic!("{:?}", decision.actions) };
    assert_eq!((alarm.warning, alarm.reason), (true, "LogDamaged"));
    assert!(alarm.note.contains("it has taken a new base"), "{}", alarm.note);
}

#[rstest]
#[case::nothing_compared(|seen: &mut Observation| report_mut(seen, "demo-1").verified = None, "nothing compared yet")]
#[case::silent(|seen: &mut Observation| silence(seen, "demo-1"), "does not answer")]
#[case::overdue(
    |seen: &mut Observation| report_mut(seen, "demo-1").verified = Some(VerifiedReport { from: op(40), head: op(99), milliseconds_ago: 60_000 }),
    "for a minute"
)]
fn what_is_not_compared_is_not_called_equal(#[case] spoil: fn(&mut Observation), #[case] why: &str) {
    let mut seen = running();
    spoil(&mut seen);
    let told = condition(&decide(&seen), "ReplicaVerified");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("Unknown", "NotCompared"));
    assert!(told.message.contains(why), "{}", told.message);
}

#[test]
fn a_log_without_anything_new_stays_compared() {
    let mut seen = running();
    report_mut(&mut seen, "demo-1").verified.as_mut().unwrap().milliseconds_ago = 3_600_000;
    assert_eq!(condition(&decide(&seen), "ReplicaVerified").status, "True");
}

#[test]
fn how_far_is_compared_is_no_news() {
    let mut seen = running();
    *status_mut(&mut seen) = written(&decide(&seen)).clone();
    report_mut(&mut seen, "demo-1").verified =
        Some(VerifiedReport { from: op(40), head: op(99), milliseconds_ago: 2_100 });
    assert!(!decide(&seen).actions.iter().any(|action| matches!(action, Action::WriteStatus(_))));
}

#[test]
fn it_is_no_candidate_after_a_loss() {
    let mut seen = fenced(active_lost(running_with(2)), ms(10_000));
    report_mut(&mut seen, "demo-2").head = Some(op(90));
    assert_eq!(recorded(&decide(&seen)).to.as_deref(), Some("demo-1"));
    make_unfit(&mut seen, "demo-1");
    assert_eq!(recorded(&decide(&seen)).to.as_deref(), Some("demo-2"));
    make_unfit(&mut seen, "demo-2");
    let decision = decide(&seen);
    assert!(recorded(&decision).to.is_none());
    assert!(waits(&decision).contains("demo-1 has a log that was found unfit"), "{}", waits(&decision));

    // Only a person's word for exactly this member makes it one.
    let approval = "4/demo-1/at-least-0";
    assert!(waits(&decision).contains(&format!("approve-failover={approval}")), "{}", waits(&decision));
    for (approval, chosen) in [("3/demo-1/at-least-0", None), (approval, Some("demo-1"))] {
        let before = recorded(&decision).clone();
        let asked = with_switch(seen.clone(), SwitchRecord { approval: Some(approval.to_owned()), ..before });
        assert_eq!(recorded(&decide(&asked)).to.as_deref(), chosen, "{approval}");
    }
}

#[test]
fn it_is_not_switched_to() {
    let mut seen = running();
    make_unfit(&mut seen, "demo-1");
    annotate(&mut seen, "demo-1");
    let answer = written(&decide(&seen)).switchover.clone().unwrap();
    assert!(answer.message.contains("the log of demo-1 was found unfit"), "{}", answer.message);
}
