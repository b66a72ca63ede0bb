//! Each step of the state machine, and each refusal.

use kudu_pair::{
    api::{Answer, MemberState, Phase, SwitchKind, SwitchOutcome, SwitchRecord, SwitchStep, TriedMember},
    failover::{
        action::{Action, Decision},
        decide::decide,
        member::GapReport,
        observation::Observation,
        order::{Order, order_for},
    },
    wal::OpId,
};
use rstest::rstest;

use super::fixture::*;

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

mod initialize {
    use super::*;

    #[test]
    fn formats_only_when_every_member_says_that_it_has_no_catalog() {
        let decision = decided(&created());
        let switch = recorded(&decision);
        assert_eq!((switch.kind, switch.epoch, switch.step), (SwitchKind::Initialize, 1, SwitchStep::Promoting));
        assert_eq!(switch.to.as_deref(), Some("demo-0"));
        let status = written(&decision);
        assert_eq!(status.catalog.as_ref().map(|catalog| catalog.formatted), Some(false));
        assert_eq!(order_for("demo-0", status), Order::Serve { epoch: 1, gate: None, format: Some(UUID.to_owned()) });
    }

    #[test]
    fn waits_for_a_member_that_is_not_heard() {
        let mut seen = created();
        silence(&mut seen, "demo-1");
        let decision = decided(&seen);
        assert!(written(&decision).catalog.is_none());
        assert!(waits(&decision).contains("demo-1"), "{}", waits(&decision));
        assert!(decision.actions.contains(&Action::ApplyObjects { active: None }), "pods have to come to be heard");
        assert_eq!(written(&decision).phase, Some(Phase::Pending));
    }

    #[test]
    fn takes_over_the_catalog_with_the_highest_head() {
        let mut seen = created();
        for (name, index) in [("demo-0", 40), ("demo-1", 50)] {
            let report = report_mut(&mut seen, name);
            report.has_catalog = true;
            report.catalog_uuid = Some("f".repeat(32));
            report.head = Some(OpId::new(7_000_002, index));
            report.epoch = 6;
        }
        let decision = decided(&seen);
        let switch = recorded(&decision);
        assert_eq!(switch.to.as_deref(), Some("demo-1"));
        assert_eq!(switch.gate, Some(OpId::new(7_000_002, 50)));
        assert_eq!(switch.epoch, 8, "above every reign that the log's terms remember");
        assert_eq!(written(&decision).catalog.as_ref().map(|catalog| catalog.uuid.clone()), Some("f".repeat(32)));
        let order = order_for("demo-1", written(&decision));
        assert!(matches!(order, Order::Serve { format: None, .. }), "{order:?}");
    }

    #[test]
    fn catalogs_of_two_pairs_are_left_alone() {
        let mut seen = created();
        for (name, uuid) in [("demo-0", "a"), ("demo-1", "b")] {
            let report = report_mut(&mut seen, name);
            report.has_catalog = true;
            report.catalog_uuid = Some(uuid.repeat(32));
            report.head = Some(OpId::new(1, 1));
        }
        let decision = decided(&seen);
        assert!(written(&decision).catalog.is_none());
        assert!(waits(&decision).contains("different pairs"));
    }

    #[test]
    fn the_lease_comes_after_the_record_and_serving_ends_it() {
        let mut seen = created();
        *status_mut(&mut seen) = written(&decide(&seen)).clone();
        assert_eq!(effects(&decided(&seen)), [&Action::CreateLease { epoch: 1 }]);

        let mut running = running();
        seen.lease.clone_from(&running.lease);
        lease_mut(&mut seen).epoch = 1;
        *report_mut(&mut seen, "demo-0") = report_mut(&mut running, "demo-0").clone();
        report_mut(&mut seen, "demo-0").epoch = 1;
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        assert_eq!(effects(&decided(&seen)), [&Action::Repoint { active: "demo-0".to_owned() }]);

        seen.service_active = Some("demo-0".to_owned());
        let decision = decided(&seen);
        let status = written(&decision);
        assert_eq!((status.active.as_deref(), status.epoch), (Some("demo-0"), 1));
        assert!(status.switch.is_none());
        assert_eq!(status.catalog.as_ref().map(|catalog| catalog.formatted), Some(true));
        assert_eq!(status.last_switch.as_ref().map(|receipt| receipt.kind), Some(SwitchKind::Initialize));
    }

    #[test]
    fn an_old_lease_is_raised_before_the_first_reign() {
        let mut seen = running();
        status_mut(&mut seen).active = None;
        status_mut(&mut seen).epoch = 0;
        let first = SwitchRecord {
            from: None,
            to: Some("demo-1".to_owned()),
            ..switch(SwitchKind::Initialize, SwitchStep::Promoting)
        };
        let mut seen = with_switch(seen, first);
        assert_eq!(effects(&decided(&seen)), Vec::<&Action>::new(), "held: has to run out");
        lease_mut(&mut seen).holder = None;
        assert_eq!(effects(&decided(&seen)), [&fence(4)]);
    }
}

mod failover {
    use super::*;

    #[test]
    fn is_recorded_before_the_fence() {
        let decision = decided(&active_lost(running()));
        let switch = recorded(&decision);
        assert_eq!((switch.kind, switch.epoch, switch.step), (SwitchKind::Failover, 4, SwitchStep::Fencing));
        assert_eq!(switch.recorded_head, Some(op(100)));
        assert!(!switch.recorded_head_final);
        assert_eq!(switch.lost_at.as_ref().unwrap().0, "2026-03-01T11:59:54Z".parse().unwrap());
        assert_eq!(written(&decision).phase, Some(Phase::FailingOver));
    }

    #[test]
    fn fences_the_version_that_was_seen_once_recorded() {
        let seen = active_lost(running());
        let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
        assert_eq!(effects(&decided(&seen)), [&fence(4)]);
    }

    #[test]
    fn a_lease_that_may_still_be_renewed_is_not_fenced() {
        let mut seen = active_lost(running());
        lease_mut(&mut seen).unchanged_for = ms(5_999);
        let decision = decided(&seen);
        assert!(effects(&decision).is_empty());
        assert!(written(&decision).switch.is_none());

        let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
        assert!(effects(&decided(&seen)).is_empty());
    }

    #[test]
    fn a_released_lease_starts_it_at_once_and_proves_the_last_op() {
        let mut seen = running();
        let lease = lease_mut(&mut seen);
        lease.holder = None;
        lease.final_head = Some(op(101));
        lease.unchanged_for = ms(0);
        let decision = decided(&seen);
        let switch = recorded(&decision);
        assert_eq!(switch.recorded_head, Some(op(101)));
        assert!(switch.recorded_head_final);
    }

    #[test]
    fn a_lease_without_holder_and_head_is_no_proof_until_it_ran_out() {
        let mut seen = running();
        lease_mut(&mut seen).holder = None;
        lease_mut(&mut seen).unchanged_for = ms(0);
        assert!(written(&decided(&seen)).switch.is_none(), "somebody may have deleted it under a running master");
        lease_mut(&mut seen).unchanged_for = ms(6_000);
        silence(&mut seen, "demo-0");
        report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = None;
        assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Failover);
    }

    #[test]
    fn a_deleted_lease_is_made_anew_in_the_same_reign() {
        let mut seen = running();
        seen.lease = None;
        assert_eq!(effects(&decided(&seen)), [&Action::CreateLease { epoch: 3 }]);
    }

    #[rstest]
    #[case::the_standby("demo-1")]
    #[case::the_active_itself("demo-0")]
    fn waits_while_somebody_still_hears_the_active_serve(#[case] witness: &str) {
        let mut seen = active_lost(running());
        if witness == "demo-1" {
            report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(100);
        } else {
            report_mut(&mut seen, "demo-0");
        }
        let decision = decided(&seen);
        assert!(written(&decision).switch.is_none());
        assert!(waits(&decision).contains("still"), "{}", waits(&decision));

        let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
        assert!(effects(&decided(&seen)).is_empty());
    }

    #[test]
    fn an_active_that_says_it_failed_hands_over_if_another_can() {
        let mut seen = running();
        let active = report_mut(&mut seen, "demo-0");
        (active.state, active.master_stopped) = (MemberState::Failed, true);
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).kind, SwitchKind::Failover);
        assert_eq!(order_for("demo-0", written(&decision)), Order::StandDown { epoch: 3, successor: None });
        report_mut(&mut seen, "demo-1").has_catalog = false;
        assert!(written(&decided(&seen)).switch.is_none());
    }

    #[test]
    fn is_left_to_people_when_not_automatic() {
        let mut seen = active_lost(running());
        seen.pair.spec.failover.automatic = false;
        let decision = decided(&seen);
        assert_eq!(written(&decision).phase, Some(Phase::Down));
        assert!(waits(&decision).contains("kubectl annotate"), "{}", waits(&decision));

        annotate(&mut seen, "any");
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).request.as_deref(), Some("any"));
        assert_eq!(written(&decision).switchover.as_ref().unwrap().answer, Answer::Accepted);
    }

    #[test]
    fn takes_the_standby_that_has_the_recorded_head_at_once() {
        let seen = fenced(active_lost(running()), ms(150));
        let decision = decided(&seen);
        let switch = recorded(&decision);
        assert_eq!(
            (switch.step, switch.to.as_deref(), switch.gate),
            (SwitchStep::Promoting, Some("demo-1"), Some(op(100)))
        );
        assert!(switch.fenced_at.is_some());
    }

    #[test]
    fn a_report_from_before_the_fence_does_not_count() {
        let seen = fenced(active_lost(running()), ms(50));
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    }

    #[test]
    fn waits_a_moment_for_a_better_candidate_then_takes_the_best() {
        let mut seen = fenced(active_lost(running_with(2)), ms(2_900));
        report_mut(&mut seen, "demo-1").head = Some(op(90));
        report_mut(&mut seen, "demo-2").head = Some(op(95));
        assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Fencing);
        lease_mut(&mut seen).unchanged_for = ms(3_000);
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
    }

    #[test]
    fn a_head_that_is_not_proven_waits_for_a_standby_that_may_have_more() {
        let mut seen = fenced(active_lost(running_with(2)), ms(1_000));
        silence(&mut seen, "demo-2");
        assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Fencing);
        lease_mut(&mut seen).unchanged_for = ms(3_000);
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
    }

    #[test]
    fn a_later_reign_beats_a_longer_log() {
        let mut seen = fenced(active_lost(running_with(2)), ms(3_000));
        report_mut(&mut seen, "demo-1").head = Some(OpId::new(2_000_000, 500));
        report_mut(&mut seen, "demo-2").head = Some(op(99));
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
    }

    #[test]
    fn the_old_active_comes_back_when_it_alone_has_everything() {
        let mut seen = fenced(active_lost(running()), ms(150));
        let old = report_mut(&mut seen, "demo-0");
        old.state = MemberState::StandingDown;
        old.master_stopped = true;
        old.head = Some(op(120));
        let decision = decided(&seen);
        let switch = recorded(&decision);
        assert_eq!(switch.to.as_deref(), Some("demo-0"));
        assert!(switch.recorded_head_final);
    }

    #[test]
    fn a_standby_with_everything_is_preferred_to_the_old_active() {
        let mut seen = fenced(active_lost(running()), ms(150));
        let old = report_mut(&mut seen, "demo-0");
        old.state = MemberState::StandingDown;
        old.master_stopped = true;
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
    }

    #[rstest]
    #[case::no_catalog(|seen: &mut Observation| report_mut(seen, "demo-1").has_catalog = false, "no catalog")]
    #[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed, "failed")]
    #[case::silent(|seen: &mut Observation| silence(seen, "demo-1"), "does not answer")]
    #[case::running(|seen: &mut Observation| report_mut(seen, "demo-1").master_stopped = false, "still stops")]
    fn is_down_without_a_candidate_and_says_why(#[case] spoil: fn(&mut Observation), #[case] why: &str) {
        let mut seen = fenced(active_lost(running()), ms(3_000));
        spoil(&mut seen);
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
        assert!(waits(&decision).contains(why), "{}", waits(&decision));
        assert!(waits(&decision).contains("demo-0 does not answer"), "{}", waits(&decision));
        assert_eq!(written(&decision).phase, Some(Phase::Down));
    }

    #[rstest]
    #[case::far_behind(OpId::new(3_000_000, 100), OpId::new(3_000_000, 10_101), "10000")]
    #[case::an_older_reign(OpId::new(2_000_000, 99), OpId::new(3_000_000, 100), "never followed")]
    fn a_great_loss_needs_a_word(#[case] has: OpId, #[case] recorded_head: OpId, #[case] why: &str) {
        let mut seen = fenced(active_lost(running()), ms(3_000));
        report_mut(&mut seen, "demo-1").head = Some(has);
        status_mut(&mut seen).switch.as_mut().unwrap().recorded_head = Some(recorded_head);
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
        assert!(waits(&decision).contains(why), "{}", waits(&decision));
        assert!(waits(&decision).contains("kudupair.io/switchover=demo-1@"), "{}", waits(&decision));

        annotate(&mut seen, "demo-1@5");
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
    }
}

mod promoting {
    use super::*;

    fn promoting(kind: SwitchKind) -> Observation {
        let mut seen = fenced(active_lost(running()), ms(500));
        let record = SwitchRecord {
            step: SwitchStep::Promoting,
            kind,
            to: Some("demo-1".to_owned()),
            gate: Some(op(100)),
            fenced_at: Some("2026-03-01T11:59:59Z".parse::<jiff::Timestamp>().unwrap().into()),
            ..seen.status().switch.unwrap()
        };
        seen = with_switch(seen, record);
        let lease = lease_mut(&mut seen);
        lease.holder = Some("demo-1/uid-demo-1/i1".to_owned());
        let report = report_mut(&mut seen, "demo-1");
        report.epoch = 4;
        report.state = MemberState::Promoting;
        report.master_stopped = false;
        seen
    }

    #[rstest]
    #[case::not_serving(MemberState::Promoting, 4, 100, "demo-1/u/i", false)]
    #[case::another_reign(MemberState::Serving, 3, 100, "demo-1/u/i", false)]
    #[case::below_the_gate(MemberState::Serving, 4, 99, "demo-1/u/i", false)]
    #[case::without_the_lease(MemberState::Serving, 4, 100, "demo-2/u/i", false)]
    #[case::done(MemberState::Serving, 4, 100, "demo-1/u/i", true)]
    fn ends_when_the_new_active_has_applied_the_gate(
        #[case] state: MemberState,
        #[case] epoch: i64,
        #[case] applied: i64,
        #[case] holder: &str,
        #[case] done: bool,
    ) {
        let mut seen = promoting(SwitchKind::Failover);
        lease_mut(&mut seen).holder = Some(holder.to_owned());
        let report = report_mut(&mut seen, "demo-1");
        (report.state, report.epoch, report.applied_head) = (state, epoch, Some(op(applied)));
        let step = recorded(&decided(&seen)).step;
        assert_eq!(step, if done { SwitchStep::Repointing } else { SwitchStep::Promoting });
    }

    #[rstest]
    #[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed)]
    #[case::lease_over(|seen: &mut Observation| lease_mut(seen).unchanged_for = ms(6_000))]
    #[case::given_back(|seen: &mut Observation| {
        lease_mut(seen).holder = None;
        lease_mut(seen).final_head = Some(op(102));
    })]
    #[case::never_taken(|seen: &mut Observation| {
        lease_mut(seen).holder = None;
        lease_mut(seen).unchanged_for = ms(3_000);
        silence(seen, "demo-1");
    })]
    #[case::not_taken_for_long(|seen: &mut Observation| {
        lease_mut(seen).holder = None;
        lease_mut(seen).unchanged_for = ms(15_000);
    })]
    fn a_member_that_does_not_come_to_serve_is_fenced_in_its_turn(#[case] fail: fn(&mut Observation)) {
        let mut seen = promoting(SwitchKind::Failover);
        fail(&mut seen);
        let decision = decided(&seen);
        let switch = recorded(&decision);
        assert_eq!((switch.step, switch.epoch), (SwitchStep::Fencing, 5));
        assert_eq!(switch.from.as_deref(), Some("demo-0"));
        assert_eq!(switch.tried, [TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }]);
        // It has obeyed epoch 4, so an order of the status's epoch 3 would be stale to it.
        let order = order_for("demo-1", written(&decision));
        assert_eq!(order, Order::StandDown { epoch: 4, successor: None });
    }

    #[test]
    fn what_a_tried_member_wrote_by_itself_does_not_make_it_the_best() {
        let mut seen = fenced(active_lost(running_with(2)), ms(3_000));
        let record = seen.status().switch.unwrap();
        let tried = vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }];
        seen = with_switch(seen, SwitchRecord { epoch: 5, tried, ..record });
        lease_mut(&mut seen).epoch = 5;
        report_mut(&mut seen, "demo-1").head = Some(OpId::new(4_000_000, 101));
        report_mut(&mut seen, "demo-2").head = Some(op(100));
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
    }

    #[test]
    fn repointing_is_seen_before_the_switch_ends() {
        let mut seen = promoting(SwitchKind::Failover);
        let record = SwitchRecord {
            step: SwitchStep::Repointing,
            replayed_at: Some("2026-03-01T11:59:59.4Z".parse::<jiff::Timestamp>().unwrap().into()),
            ..seen.status().switch.unwrap()
        };
        seen = with_switch(seen, record);
        assert_eq!(effects(&decided(&seen)), [&Action::Repoint { active: "demo-1".to_owned() }]);
        seen.service_active = Some("demo-1".to_owned());
        let decision = decided(&seen);
        let receipt = written(&decision).last_switch.clone().unwrap();
        insta::assert_json_snapshot!("receipt_of_a_failover", receipt);
        insta::assert_json_snapshot!("status_after_a_failover", written(&decision));
    }
}

mod switchover {
    use super::*;

    fn asked(request: &str) -> Observation {
        let mut seen = running();
        annotate(&mut seen, request);
        seen
    }

    #[rstest]
    #[case("demo-1")]
    #[case("any")]
    #[case("any@2026-03-01")]
    fn is_recorded_with_its_answer(#[case] request: &str) {
        let decision = decided(&asked(request));
        let switch = recorded(&decision);
        assert_eq!((switch.kind, switch.step, switch.epoch), (SwitchKind::Switchover, SwitchStep::Fencing, 4));
        assert_eq!((switch.from.as_deref(), switch.to.as_deref()), (Some("demo-0"), Some("demo-1")));
        let status = written(&decision);
        assert_eq!(status.switchover.as_ref().map(|answer| answer.answer), Some(Answer::Accepted));
        assert_eq!(order_for("demo-0", status), Order::StandDown { epoch: 3, successor: Some("demo-1".to_owned()) });
    }

    #[rstest]
    #[case::no_member("demo-7", |_: &mut Observation| (), "no member")]
    #[case::the_active("demo-0", |_: &mut Observation| (), "already")]
    #[case::silent("demo-1", |seen: &mut Observation| silence(seen, "demo-1"), "does not answer")]
    #[case::copying("demo-1", |seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::CopyingBase, "CopyingBase")]
    #[case::behind("demo-1", |seen: &mut Observation| report_mut(seen, "demo-0").head = Some(op(10_101)), "10001 operations behind, at most 10000")]
    #[case::unknown_lag("demo-1", |seen: &mut Observation| {
        silence(seen, "demo-0");
        report_mut(seen, "demo-1").active_heard_milliseconds_ago = Some(60_000);
    }, "not known")]
    #[case::none_fit("any", |seen: &mut Observation| silence(seen, "demo-1"), "demo-1 does not answer")]
    #[case::paused("demo-1", |seen: &mut Observation| seen.pair.spec.paused = true, "spec.paused")]
    fn is_refused_with_the_reason(#[case] request: &str, #[case] spoil: fn(&mut Observation), #[case] why: &str) {
        let mut seen = asked(request);
        spoil(&mut seen);
        let decision = decided(&seen);
        let status = written(&decision);
        assert!(status.switch.is_none());
        let answer = status.switchover.as_ref().unwrap();
        assert_eq!((answer.request.as_str(), answer.answer), (request, Answer::Refused));
        assert!(answer.message.contains(why), "{}", answer.message);
        // Each value is answered once.
        *status_mut(&mut seen) = status.clone();
        assert!(decided(&seen).actions.iter().all(|action| !matches!(action, Action::WriteStatus(_))));
    }

    #[test]
    fn is_refused_while_another_switch_is_under_way() {
        let mut seen = asked("any");
        let record =
            SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
        seen = with_switch(seen, record);
        let answer = written(&decided(&seen)).switchover.clone().unwrap();
        assert_eq!(answer.answer, Answer::Refused);
        assert!(answer.message.contains("under way"), "{}", answer.message);
    }

    fn standing_down() -> Observation {
        let record =
            SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
        with_switch(running(), record)
    }

    #[test]
    fn waits_while_the_old_active_holds_its_lease() {
        let decision = decided(&standing_down());
        assert!(effects(&decision).is_empty());
        assert!(waits(&decision).contains("released"), "{}", waits(&decision));
    }

    #[test]
    fn the_final_head_is_recorded_before_the_fence_removes_it() {
        let mut seen = standing_down();
        lease_mut(&mut seen).holder = None;
        lease_mut(&mut seen).final_head = Some(op(103));
        lease_mut(&mut seen).unchanged_for = ms(0);
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).recorded_head, Some(op(103)));
        assert!(recorded(&decision).recorded_head_final);
        *status_mut(&mut seen) = written(&decision).clone();
        assert_eq!(effects(&decided(&seen)), [&fence(4)]);
    }

    #[test]
    fn a_head_is_no_proof_once_the_old_active_took_the_lease_again() {
        let mut seen = standing_down();
        let record = seen.status().switch.unwrap();
        seen = with_switch(seen, SwitchRecord { recorded_head: Some(op(99)), recorded_head_final: true, ..record });
        let decision = decided(&seen);
        assert!(!recorded(&decision).recorded_head_final);
        assert_eq!(recorded(&decision).recorded_head, Some(op(100)));
    }

    #[rstest]
    #[case::has_everything(103, SwitchStep::Promoting)]
    #[case::not_yet(102, SwitchStep::Fencing)]
    fn the_successor_takes_over_with_everything(#[case] head: i64, #[case] step: SwitchStep) {
        let mut seen = standing_down();
        let lease = lease_mut(&mut seen);
        (lease.holder, lease.epoch, lease.unchanged_for) = (None, 4, ms(150));
        let record = seen.status().switch.unwrap();
        seen = with_switch(seen, SwitchRecord { recorded_head: Some(op(103)), recorded_head_final: true, ..record });
        report_mut(&mut seen, "demo-0").master_stopped = true;
        report_mut(&mut seen, "demo-1").head = Some(op(head));
        assert_eq!(recorded(&decided(&seen)).step, step);
    }

    #[rstest]
    #[case::vanished(|seen: &mut Observation| {
        silence(seen, "demo-1");
        seen.now = "2026-03-01T12:00:02Z".parse().unwrap();
    })]
    #[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed)]
    #[case::too_slow(|seen: &mut Observation| seen.now = "2026-03-01T12:00:28Z".parse().unwrap())]
    fn goes_back_when_the_successor_does_not_make_it(#[case] fail: fn(&mut Observation)) {
        let mut seen = standing_down();
        report_mut(&mut seen, "demo-0").head = Some(op(103));
        fail(&mut seen);
        let decision = decided(&seen);
        assert_eq!(recorded(&decision).to, None);
        // Nobody is left to ship to, so the old active releases at once.
        assert_eq!(order_for("demo-0", written(&decision)), Order::StandDown { epoch: 3, successor: None });

        *status_mut(&mut seen) = written(&decision).clone();
        let lease = lease_mut(&mut seen);
        (lease.holder, lease.epoch, lease.unchanged_for) = (None, 4, ms(500));
        let old = report_mut(&mut seen, "demo-0");
        (old.master_stopped, old.state) = (true, MemberState::StandingDown);
        assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));
    }

    #[test]
    fn going_back_is_answered_as_such() {
        let mut seen = running();
        let record = SwitchRecord {
            to: Some("demo-0".to_owned()),
            gate: Some(op(103)),
            request: Some("any".to_owned()),
            ..switch(SwitchKind::Switchover, SwitchStep::Repointing)
        };
        annotate(&mut seen, "any");
        seen = with_switch(seen, record);
        let decision = decided(&seen);
        let status = written(&decision);
        assert_eq!(status.switchover.as_ref().map(|answer| answer.answer), Some(Answer::RolledBack));
        let receipt = status.last_switch.as_ref().unwrap();
        assert_eq!((receipt.outcome, receipt.ops_lost.as_str()), (SwitchOutcome::RolledBack, "0"));
    }

    #[test]
    fn an_active_that_dies_meanwhile_is_failed_over_by_the_same_record() {
        let mut seen = standing_down();
        silence(&mut seen, "demo-0");
        lease_mut(&mut seen).unchanged_for = ms(6_000);
        report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(6_000);
        assert_eq!(effects(&decided(&seen)), [&fence(4)]);
    }
}

mod receipts {
    use super::*;

    #[test]
    fn unknown_becomes_a_number_when_the_old_active_is_back() {
        let mut seen = running();
        let record = SwitchRecord {
            from: Some("demo-1".to_owned()),
            to: Some("demo-0".to_owned()),
            epoch: 3,
            recorded_head: Some(op(99)),
            gate: Some(op(99)),
            ..switch(SwitchKind::Failover, SwitchStep::Repointing)
        };
        let receipt = kudu_pair::failover::receipt::receipt(&record, "demo-0".to_owned(), now());
        assert_eq!(receipt.ops_lost, "unknown");
        status_mut(&mut seen).last_switch = Some(receipt);
        let gap = |epoch| Some(GapReport { epoch, ops: 2, diff_head: None, own_head: None });
        report_mut(&mut seen, "demo-1").gap = gap(2);
        assert_eq!(written(&decided(&seen)).last_switch.as_ref().unwrap().ops_lost, "unknown", "another reign's gap");
        report_mut(&mut seen, "demo-1").gap = gap(3);
        assert_eq!(written(&decided(&seen)).last_switch.as_ref().unwrap().ops_lost, "2");
    }

    #[rstest]
    #[case::proven(true, op(105), op(100), "5")]
    #[case::nothing(true, op(105), op(105), "0")]
    #[case::not_proven(false, op(105), op(105), "unknown")]
    #[case::another_reign(true, op(105), OpId::new(2_000_000, 104), "unknown")]
    fn a_number_only_when_proven(#[case] is_final: bool, #[case] head: OpId, #[case] gate: OpId, #[case] lost: &str) {
        let record = SwitchRecord {
            to: Some("demo-1".to_owned()),
            recorded_head: Some(head),
            recorded_head_final: is_final,
            gate: Some(gate),
            ..switch(SwitchKind::Failover, SwitchStep::Repointing)
        };
        assert_eq!(kudu_pair::failover::receipt::receipt(&record, "demo-1".to_owned(), now()).ops_lost, lost);
    }
}

mod rolling {
    use super::*;

    fn outdated(names: &[&str]) -> Observation {
        let mut seen = running_with(2);
        for name in names {
            member_mut(&mut seen, name).pod.as_mut().unwrap().revision = Some("r0".to_owned());
        }
        seen
    }

    fn delete(name: &str) -> Action {
        Action::DeletePod { name: name.to_owned(), uid: format!("uid-{name}") }
    }

    #[test]
    fn replaces_one_standby_at_a_time() {
        assert_eq!(effects(&decided(&outdated(&["demo-0", "demo-1", "demo-2"]))), [&delete("demo-1")]);
    }

    #[rstest]
    #[case::not_streaming(|seen: &mut Observation| report_mut(seen, "demo-2").state = MemberState::CopyingBase)]
    #[case::silent(|seen: &mut Observation| silence(seen, "demo-2"))]
    #[case::unknown_revision(|seen: &mut Observation| seen.update_revision = None)]
    #[case::paused(|seen: &mut Observation| seen.pair.spec.paused = true)]
    fn not_while_anything_else_is_wrong(#[case] spoil: fn(&mut Observation)) {
        let mut seen = outdated(&["demo-0", "demo-1"]);
        spoil(&mut seen);
        assert!(effects(&decided(&seen)).is_empty());
    }

    #[test]
    fn switches_before_the_active_is_replaced() {
        let decision = decided(&outdated(&["demo-0"]));
        let switch = recorded(&decision);
        assert_eq!((switch.kind, switch.request.as_deref()), (SwitchKind::Switchover, None));
    }

    #[test]
    fn does_not_try_again_at_once_after_going_back() {
        let mut seen = outdated(&["demo-0"]);
        let back =
            SwitchRecord { to: Some("demo-0".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Repointing) };
        let receipt = kudu_pair::failover::receipt::receipt(&back, "demo-0".to_owned(), now());
        status_mut(&mut seen).last_switch = Some(receipt);
        assert!(written(&decided(&seen)).switch.is_none());
        seen.now = "2026-03-01T12:10:00Z".parse().unwrap();
        assert!(written(&decided(&seen)).switch.is_some());
    }

    #[test]
    fn an_outdated_pod_that_serves_nobody_is_replaced_although_the_pair_is_not_whole() {
        let mut seen = outdated(&["demo-1"]);
        silence(&mut seen, "demo-1");
        assert!(
            effects(&decided(&seen)).is_empty(),
            "the kubelet calls it ready: perhaps only the controller cannot hear it"
        );
        member_mut(&mut seen, "demo-1").pod.as_mut().unwrap().ready = false;
        assert_eq!(effects(&decided(&seen)), [&delete("demo-1")]);
    }

    #[test]
    fn an_active_that_the_spec_removes_hands_over_first() {
        let mut seen = running_with(2);
        status_mut(&mut seen).active = Some("demo-2".to_owned());
        seen.service_active = Some("demo-2".to_owned());
        lease_mut(&mut seen).holder = Some("demo-2/uid-demo-2/i1".to_owned());
        let active = report_mut(&mut seen, "demo-0").clone();
        *report_mut(&mut seen, "demo-0") = report_mut(&mut seen, "demo-1").clone();
        report_mut(&mut seen, "demo-0").member = "demo-0".to_owned();
        *report_mut(&mut seen, "demo-2") = active;
        seen.pair.spec.standbys = 1;
        let decision = decided(&seen);
        assert!(matches!(recorded(&decision).to.as_deref(), Some("demo-0" | "demo-1")));
        assert_eq!(condition(&decision, "SpecAccepted").status, "False");

        // Until somebody can take over, no pod is removed.
        report_mut(&mut seen, "demo-1").state = MemberState::CopyingBase;
        let decision = decided(&seen);
        assert!(!decision.actions.iter().any(|action| matches!(action, Action::ApplyObjects { .. })), "{decision:?}");
    }
}

mod overview {
    use super::*;

    #[test]
    fn a_pair_in_peace() {
        insta::assert_json_snapshot!("status_in_peace", written(&decided(&running())));
    }

    #[test]
    fn peace_does_nothing_but_keep_the_objects() {
        let mut seen = running();
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        let decision = decided(&seen);
        assert_eq!(decision.actions, [Action::ApplyObjects { active: Some("demo-0".to_owned()) }]);
    }

    #[test]
    fn newer_numbers_are_written_now_and_then_only() {
        let mut seen = running();
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        report_mut(&mut seen, "demo-0").head = Some(op(150));
        assert!(!decided(&seen).actions.iter().any(|action| matches!(action, Action::WriteStatus(_))));
        seen.status_written_ago = Some(ms(10_000));
        assert_eq!(written(&decided(&seen)).lag.as_deref(), Some("50 ops"));
    }

    #[test]
    fn a_standby_that_stalls_is_never_shown_in_sync() {
        let mut seen = running();
        silence(&mut seen, "demo-1");
        let decision = decided(&seen);
        let status = written(&decision);
        assert_eq!((status.lag.as_deref(), status.phase), (Some("unknown"), Some(Phase::Degraded)));
        assert_eq!(condition(&decision, "StandbysInSync").status, "False");
        let mut seen = running();
        silence(&mut seen, "demo-0");
        report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(5_000);
        assert_eq!(written(&decided(&seen)).lag.as_deref(), Some("unknown"));
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut seen = running();
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        let before = condition(&decided(&running()), "Ready").last_transition_time;
        seen.now = "2026-03-01T13:00:00Z".parse().unwrap();
        report_mut(&mut seen, "demo-1").state = MemberState::CopyingBase;
        let decision = decided(&seen);
        assert_eq!(condition(&decision, "Ready").last_transition_time, before);
        assert_ne!(condition(&decision, "StandbysInSync").last_transition_time, before);
    }

    #[test]
    fn paused_only_looks() {
        let mut seen = active_lost(running());
        seen.pair.spec.paused = true;
        let decision = decided(&seen);
        assert!(effects(&decision).is_empty());
        assert!(!decision.actions.iter().any(|action| matches!(action, Action::ApplyObjects { .. })));
        assert_eq!(condition(&decision, "Paused").status, "True");
        assert_eq!(written(&decision).phase, Some(Phase::Down));
    }

    #[test]
    fn a_service_that_selects_somebody_else_is_pointed_back() {
        let mut seen = running();
        seen.service_active = Some("demo-1".to_owned());
        let decision = decided(&seen);
        assert_eq!(effects(&decision), [&Action::Repoint { active: "demo-0".to_owned() }]);
        assert_eq!(condition(&decision, "Ready").reason, "ServiceElsewhere");
    }
}

mod encryption {
    use kudu_pair::{
        api::Encryption,
        failover::{member::LinkEncryption, observation::CertificatesSeen},
    };

    use super::*;

    fn with(
        mode: Encryption,
        of_standby: Option<LinkEncryption>,
        certificates: Option<CertificatesSeen>,
    ) -> Observation {
        let mut seen = running();
        seen.pair.spec.replication.encryption = mode;
        report_mut(&mut seen, "demo-1").encryption = of_standby;
        seen.certificates = certificates;
        seen
    }

    fn missing() -> Option<CertificatesSeen> {
        Some(CertificatesSeen::Missing { reason: "CertManagerMissing", message: "install it".to_owned() })
    }

    #[rstest]
    #[case::as_it_should_be(Encryption::Managed, Some(LinkEncryption::Tls), None, "True", "Managed", "mutual TLS")]
    #[case::by_cert_manager(
        Encryption::CertManager,
        Some(LinkEncryption::Tls),
        Some(CertificatesSeen::Issued),
        "True",
        "CertManager",
        "cert-manager"
    )]
    #[case::not_at_all(
        Encryption::Plaintext,
        Some(LinkEncryption::Plaintext),
        None,
        "False",
        "Plaintext",
        "NetworkPolicy"
    )]
    #[case::not_at_all_soon(
        Encryption::Plaintext,
        Some(LinkEncryption::Tls),
        None,
        "False",
        "Plaintext",
        "NetworkPolicy"
    )]
    #[case::a_member_waits(
        Encryption::Managed, Some(LinkEncryption::Waiting("no file".to_owned())), None, "False", "Waiting", "demo-1: no file"
    )]
    #[case::a_member_has_not_seen_it(
        Encryption::Managed,
        Some(LinkEncryption::Plaintext),
        None,
        "False",
        "Waiting",
        "demo-1 has not seen yet"
    )]
    #[case::an_old_sidecar(Encryption::Managed, None, None, "False", "Waiting", "demo-1 is of a version")]
    #[case::nobody_issues(
        Encryption::CertManager, Some(LinkEncryption::Waiting("no file".to_owned())), missing(), "False", "CertManagerMissing",
        "install it"
    )]
    #[case::nobody_replaces(
        Encryption::CertManager,
        Some(LinkEncryption::Tls),
        missing(),
        "True",
        "CertManagerMissing",
        "mutual TLS; install it"
    )]
    #[case::what_is_not_asked_for_is_not_missing(
        Encryption::Plaintext,
        Some(LinkEncryption::Plaintext),
        missing(),
        "False",
        "Plaintext",
        "NetworkPolicy"
    )]
    fn is_told(
        #[case] mode: Encryption,
        #[case] of_standby: Option<LinkEncryption>,
        #[case] certificates: Option<CertificatesSeen>,
        #[case] status: &str,
        #[case] reason: &str,
        #[case] message: &str,
    ) {
        let shown = condition(&decided(&with(mode, of_standby, certificates)), "StreamEncrypted").clone();
        assert_eq!((shown.status.as_str(), shown.reason.as_str()), (status, reason), "{shown:?}");
        assert!(shown.message.contains(message), "{shown:?}");
    }

    #[test]
    fn a_member_that_is_away_does_not_make_it_false() {
        let mut seen = with(Encryption::Managed, None, None);
        silence(&mut seen, "demo-1");
        assert_eq!(condition(&decided(&seen), "StreamEncrypted").status, "True");
        silence(&mut seen, "demo-0");
        assert_eq!(condition(&decided(&seen), "StreamEncrypted").reason, "Waiting");
    }
}
