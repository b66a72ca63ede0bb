use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn machine() -> Machine {
    Machine::new("instance".to_owned(), false, "0.0.0.0:7051".to_owned())
}

fn start_request(epoch: i64, deadline: Option<u64>) -> Request {
    Request::Start { epoch, generation: "gen-1".to_owned(), deadline_boot_ns: deadline }
}

fn ask(machine: &mut Machine, request: Request, now: u64) -> Vec<Action> {
    machine.handle(Event::Asked { ticket: 1, request, catalog: Ok(()) }, now)
}

fn running(deadline: Option<u64>) -> Machine {
    let mut machine = machine();
    let actions = ask(&mut machine, start_request(5, deadline), 0);
    assert_eq!(actions, [Action::Start { epoch: 5, generation: "gen-1".to_owned(), deadline }]);
    let answered = machine.handle(Event::Started { pid: 42 }, 0);
    assert!(matches!(answered[..], [Action::Answer { ticket: 1, reply: Reply::Done(_) }]));
    machine
}

fn crash(machine: &mut Machine, now: u64) -> Vec<Action> {
    machine.handle(Event::Ended { at: now, killed_at: None, last_words: Some("aborted".to_owned()) }, now)
}

#[track_caller]
fn assert_refused(actions: &[Action], expected: &str) {
    match actions {
        [Action::Answer { reply: Reply::Refused { message }, .. }] => assert!(message.contains(expected), "{message}"),
        other => panic!("{other:?}"),
    }
}

fn stop_reason(machine: &Machine) -> Option<StopReason> {
    match machine.status().master {
        MasterState::Stopped { reason, .. } => Some(reason),
        _ => None,
    }
}

#[test]
fn a_start_past_its_deadline_is_refused() {
    let mut machine = machine();
    assert_refused(&ask(&mut machine, start_request(1, Some(SECOND)), SECOND), "passed 0 ms ago");
    assert_eq!(machine.status().master, MasterState::Idle);
}

#[test]
fn a_deadline_in_wrong_units_is_refused() {
    assert_refused(&ask(&mut machine(), start_request(1, Some(1000 * SECOND)), 0), "no lease lasts over 300 s");
}

#[test]
fn an_older_epoch_is_refused_for_ever() {
    let mut machine = running(None);
    ask(&mut machine, Request::Stop, 1);
    machine.handle(Event::Ended { at: 2, killed_at: Some(1), last_words: None }, 2);
    assert_refused(&ask(&mut machine, start_request(4, None), 3), "epoch 4 is over");
}

#[test]
fn a_refused_start_does_not_count_as_an_epoch() {
    let mut machine = machine();
    let no_catalog = Err("no catalog".to_owned());
    let event = Event::Asked { ticket: 1, request: start_request(9, None), catalog: no_catalog };
    assert_refused(&machine.handle(event, 0), "no catalog");
    assert!(matches!(ask(&mut machine, start_request(8, None), 0)[..], [Action::Start { .. }]));
}

#[test]
fn starting_what_runs_is_a_renewal() {
    let mut machine = running(Some(SECOND));
    let actions = ask(&mut machine, start_request(5, Some(2 * SECOND)), 1);
    assert_eq!(actions[0], Action::MoveDeadline { deadline: 2 * SECOND });
    assert!(matches!(actions[1], Action::Answer { reply: Reply::Done(_), .. }));
}

#[test]
fn another_epoch_is_refused_while_one_runs() {
    assert_refused(&ask(&mut running(None), start_request(6, None), 1), "stop it first");
}

#[test]
fn the_deadline_never_moves_backwards() {
    let mut machine = running(Some(5 * SECOND));
    let renew = Request::Renew { epoch: 5, deadline_boot_ns: Some(3 * SECOND) };
    assert!(matches!(ask(&mut machine, renew, SECOND)[..], [Action::Answer { reply: Reply::Done(_), .. }]));
    assert_eq!(machine.wake_at(), Some(5 * SECOND));
}

#[test]
fn a_renewal_cannot_switch_the_fence_off() {
    let renew = Request::Renew { epoch: 5, deadline_boot_ns: None };
    assert_refused(&ask(&mut running(Some(SECOND)), renew, 1), "with a deadline");
}

#[test]
fn a_renewal_after_the_deadline_comes_too_late() {
    let mut machine = running(Some(SECOND));
    let renew = Request::Renew { epoch: 5, deadline_boot_ns: Some(3 * SECOND) };
    let actions = ask(&mut machine, renew, SECOND);
    assert_eq!(actions[0], Action::Kill);
    assert_refused(&actions[1..], "being stopped (LeaseOver)");
}

#[test]
fn a_lease_that_is_over_ends_the_reign() {
    let mut machine = running(Some(SECOND));
    machine.handle(Event::Ended { at: SECOND + 7000, killed_at: Some(SECOND), last_words: None }, SECOND + 9000);
    let MasterState::Stopped { reason, kill_micros, .. } = machine.status().master else { panic!() };
    assert_eq!((reason, kill_micros), (StopReason::LeaseOver, 7));
}

#[test]
fn a_crash_is_restarted_at_once() {
    let mut machine = running(Some(SECOND));
    let actions = crash(&mut machine, 1);
    assert!(matches!(actions[..], [Action::Start { epoch: 5, .. }]));
    machine.handle(Event::Started { pid: 43 }, 2);
    assert!(matches!(machine.status().master, MasterState::Running { pid: Some(43), starts: 2, .. }));
}

#[test]
fn a_crash_loop_is_given_up_with_the_last_words() {
    let mut machine = running(None);
    let mut now = 1;
    let mut starts = 1;
    let mut actions = crash(&mut machine, now);
    loop {
        if actions.is_empty() {
            let Some(wake) = machine.wake_at() else { break };
            now = wake;
            actions = machine.handle(Event::Woke, now);
        }
        assert!(matches!(actions[..], [Action::Start { .. }]), "{actions:?}");
        machine.handle(Event::Started { pid: 43 }, now);
        starts += 1;
        actions = crash(&mut machine, now);
    }
    assert_eq!(starts, 5);
    let MasterState::Stopped { reason, last_words, .. } = machine.status().master else { panic!() };
    assert_eq!((reason, last_words.as_deref()), (StopReason::CrashLoop, Some("aborted")));
}

#[test]
fn no_restart_past_the_deadline() {
    let mut machine = running(Some(SECOND));
    assert!(crash(&mut machine, SECOND).iter().all(|action| !matches!(action, Action::Start { .. })));
    assert_eq!(stop_reason(&machine), Some(StopReason::LeaseOver));
}

#[test]
fn a_lease_that_ends_while_a_restart_waits_ends_the_reign() {
    let mut machine = running(Some(SECOND));
    crash(&mut machine, SECOND - 10);
    machine.handle(Event::Started { pid: 43 }, SECOND - 9);
    assert_eq!(crash(&mut machine, SECOND - 8), []);
    assert_eq!(machine.wake_at(), Some(SECOND));
    assert_eq!(machine.handle(Event::Woke, SECOND), []);
    assert_eq!(stop_reason(&machine), Some(StopReason::LeaseOver));
}

#[test]
fn a_stop_is_answered_when_the_master_is_dead() {
    let mut machine = running(None);
    assert_eq!(ask(&mut machine, Request::Stop, 1), [Action::Kill]);
    let actions = machine.handle(Event::Ended { at: 2, killed_at: Some(1), last_words: None }, 2);
    assert!(matches!(actions[..], [Action::Answer { .. }]));
    assert_eq!(stop_reason(&machine), Some(StopReason::Asked));
}

#[test]
fn a_start_that_fails_leaves_things_as_they_were() {
    let mut machine = machine();
    ask(&mut machine, start_request(1, None), 0);
    assert_refused(&machine.handle(Event::StartFailed { message: "no such file".to_owned() }, 1), "no such file");
    assert_eq!(machine.status().master, MasterState::Idle);
}

#[test]
fn jobs_and_masters_do_not_share_a_generation() {
    let set_term = Request::SetTerm { generation: "gen-1".to_owned(), term: 3 };
    assert_refused(&ask(&mut running(None), set_term.clone(), 1), "stop it first");

    let mut machine = machine();
    assert!(matches!(ask(&mut machine, set_term, 1)[..], [Action::Run { .. }]));
    assert_refused(&ask(&mut machine, start_request(1, None), 2), "a job still works");
    machine.handle(Event::JobDone { ticket: 1, result: Ok(()) }, 3);
    assert!(matches!(ask(&mut machine, start_request(1, None), 4)[..], [Action::Start { .. }]));
}

#[test]
fn an_ending_launcher_kills_answers_and_leaves_when_its_client_has_heard() {
    let mut machine = running(Some(SECOND));
    machine.handle(Event::Clients { connected: 1 }, 1);
    assert_eq!(machine.handle(Event::Terminate, 2), [Action::CancelJobs, Action::Kill]);
    assert_eq!(machine.handle(Event::Ended { at: 3, killed_at: Some(2), last_words: None }, 3), []);
    assert_eq!(stop_reason(&machine), Some(StopReason::Ending));
    assert_refused(&ask(&mut machine, start_request(9, None), 4), "ending");
    ask(&mut machine, Request::Status, 5);
    assert_eq!(machine.handle(Event::Clients { connected: 0 }, 6), [Action::Leave]);
}

#[test]
fn an_ending_launcher_does_not_wait_for_ever() {
    let mut machine = machine();
    machine.handle(Event::Clients { connected: 1 }, 1);
    machine.handle(Event::Terminate, 2);
    assert_eq!(machine.wake_at(), Some(2 + ENDING_GRACE));
    assert_eq!(machine.handle(Event::Woke, 2 + ENDING_GRACE), [Action::Leave]);
    assert_eq!(machine.wake_at(), None);
}

#[test]
fn a_launcher_without_clients_leaves_soon_and_at_once_when_asked_twice() {
    let mut machine = machine();
    machine.handle(Event::Terminate, 2);
    assert_eq!(machine.wake_at(), Some(2 + LONELY_GRACE));
    assert_eq!(machine.handle(Event::Terminate, 3), [Action::Leave]);
}

#[test]
fn exit_is_answered_before_the_launcher_leaves() {
    let mut machine = running(None);
    assert_eq!(ask(&mut machine, Request::Exit, 1), [Action::CancelJobs, Action::Kill]);
    let actions = machine.handle(Event::Ended { at: 2, killed_at: Some(1), last_words: None }, 2);
    assert!(matches!(actions[..], [Action::Answer { .. }, Action::Leave]));
}

/// What a run of the machine is made of.
#[derive(Debug, Clone)]
enum Step {
    Start(i64, u64),
    Renew(i64, u64),
    Stop,
    Crash,
    Terminate,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_i64, 0..50_u64).prop_map(|(epoch, ahead)| Step::Start(epoch, ahead)),
        (0..4_i64, 0..50_u64).prop_map(|(epoch, ahead)| Step::Renew(epoch, ahead)),
        Just(Step::Stop),
        Just(Step::Crash),
        Just(Step::Terminate),
        (1..40_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever is asked and whatever happens: a start only ever happens before its deadline and in the highest epoch, one master
    /// runs at a time, a deadline only moves forwards, and a master whose lease is over has been killed.
    #[test]
    fn the_promises_hold(steps in prop::collection::vec(step(), 1..80)) {
        let mut machine = machine();
        let (mut now, mut alive, mut killed, mut highest) = (100, false, false, i64::MIN);
        let mut guard: Option<u64> = None;
        for step in steps {
            let asked = |request| Event::Asked { ticket: 1, request, catalog: Ok(()) };
            let event = match step {
                Step::Start(epoch, ahead) => asked(start_request(epoch, Some(now + ahead - 5))),
                Step::Renew(epoch, ahead) => asked(Request::Renew { epoch, deadline_boot_ns: Some(now + ahead - 5) }),
                Step::Stop => asked(Request::Stop),
                Step::Crash if alive => {
                    alive = false;
                    Event::Ended { at: now, killed_at: killed.then_some(now), last_words: None }
                }
                Step::Crash => continue,
                Step::Terminate => Event::Terminate,
                Step::Pass(time) => { now += time; Event::Woke }
            };
            let mut actions = machine.handle(event, now);
            while !actions.is_empty() {
                let mut started = false;
                for action in actions.drain(..) {
                    match action {
                        Action::Start { epoch, deadline, .. } => {
                            prop_assert!(!alive, "two masters");
                            prop_assert!(deadline.unwrap() > now, "started past its deadline");
                            prop_assert!(epoch >= highest, "started an old epoch");
                            (alive, killed, started, highest, guard) = (true, false, true, epoch, deadline);
                        }
                        Action::MoveDeadline { deadline } => {
                            prop_assert!(guard.unwrap() < deadline, "moved backwards");
                            guard = Some(deadline);
                        }
                        Action::Kill => killed = true,
                        _ => {}
                    }
                }
                if started {
                    actions = machine.handle(Event::Started { pid: 42 }, now);
                }
            }
            prop_assert!(!alive || killed || guard.unwrap() > now, "lives past its deadline");
        }
    }
}
