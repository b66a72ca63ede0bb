//! Kills that take longer than the spec says.

use kudu_pair::failover::{action::Action, decide::decide};

use crate::fixture::*;

fn events(seen: &kudu_pair::failover::observation::Observation) -> Vec<String> {
    let event = |action: Action| match action {
        Action::Event(event) => Some(event.reason.to_owned()),
        _ => None,
    };
    decide(seen).actions.into_iter().filter_map(event).collect()
}

#[test]
fn a_kill_that_took_too_long_is_told_once_and_shown_until_a_shorter_one() {
    let mut seen = running();
    report_mut(&mut seen, "demo-1").kill_milliseconds = Some(1_001);
    assert_eq!(events(&seen), ["KillTimeExceeded"]);
    let status = written(&decide(&seen)).clone();
    let condition = status.conditions.iter().find(|condition| condition.type_ == "KillTimeKept").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "KillTimeExceeded"));
    assert!(condition.message.contains("demo-1 took 1001 ms"), "{}", condition.message);

    seen.pair.status = Some(status);
    assert!(events(&seen).is_empty());
    report_mut(&mut seen, "demo-1").kill_milliseconds = Some(12);
    assert!(events(&seen).is_empty());
    let status = written(&decide(&seen)).clone();
    let condition = status.conditions.iter().find(|condition| condition.type_ == "KillTimeKept").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "Kept"));
}
