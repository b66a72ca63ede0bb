//! What each command prints.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    ask::{Outcome, Progress, Wish, progress, unique},
    drill::{self, Drill, Leg},
    exit::Exit,
    explain, failover, fence, gap,
    logs::{Reigns, Source, lines, merge, text},
    look::Look,
    requests::{Said, dry_run_text},
    status,
    style::Style,
};
use crate::api::{Answer, names::FENCED_ANNOTATION};

pub(super) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A time so many seconds ago, as the API writes it.
pub(crate) fn ago(seconds: i64) -> String {
    let at = now() - jiff::SignedDuration::from_secs(seconds);
    format!("{at:.6}")
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T11:00:00Z", "observedGeneration": 1,
    })
}

/// The status of a pair that is well.
pub(crate) fn healthy() -> Value {
    json!({
        "observedGeneration": 1, "phase": "Running", "active": "demo-0", "epoch": 3,
        "lag": "0 ops", "lagSampledAt": ago(2),
        "catalog": { "uuid": "0123456789abcdef0123456789abcdef", "formatted": true },
        "members": [
            { "name": "demo-0", "role": "Active", "state": "Serving", "head": "3000001.1405", "killMilliseconds": 23 },
            {
                "name": "demo-1", "role": "Standby", "state": "Streaming", "head": "3000001.1405", "lagOps": 0, "lagBytes": 0,
                "lagMilliseconds": 0, "lagSampledAt": ago(2), "caughtUpAt": ago(2), "pendingOps": 12,
                "predictedReplayMilliseconds": 140, "verifiedHead": "3000001.1400", "verifiedAt": ago(4),
            },
        ],
        "switches": [
            {
                "kind": "Failover", "epoch": 3, "from": "demo-1", "to": "demo-0", "opsLost": "0", "outcome": "Completed",
                "acknowledgedHead": "2000001.99", "recordedHead": "2000001.100", "promotedHead": "2000001.100",
                "startedAt": ago(7210), "finishedAt": ago(7200),
                "detectSeconds": "5.2", "fenceSeconds": "0.4", "replaySeconds": "0.9", "repointSeconds": "0.1",
            },
            {
                "kind": "Initialize", "epoch": 1, "to": "demo-0", "opsLost": "0", "outcome": "Completed",
                "startedAt": ago(90000), "finishedAt": ago(89990),
                "detectSeconds": "0.0", "fenceSeconds": "0.0", "replaySeconds": "9.1", "repointSeconds": "0.1",
            },
        ],
        "conditions": [
            condition("Ready", "True", "Serving", "demo-0 serves in epoch 3"),
            condition("StandbysInSync", "True", "Streaming", "every standby receives the active's log"),
            condition("Synchronous", "False", "Async", "operations are acknowledged as soon as the active has them"),
            condition("Switching", "False", "None", "no switch is under way"),
            condition("GapPending", "False", "None", "no member keeps operations that the active does not have"),
        ],
    })
}

#[test]
fn nothing_of_a_new_pair_asks_to_be_looked_at() {
    for (type_, status, reason) in [("KillTimeKept", "Unknown", "NotMeasured"), ("Fenced", "False", "NobodyFenced")] {
        let condition = serde_json::from_value(condition(type_, status, reason, "")).unwrap();
        let tone = super::status::tone_of(&condition);
        assert!(matches!(tone, super::style::Tone::Good | super::style::Tone::Plain), "{type_}");
    }
}

fn gap_kept() -> Value {
    json!({
        "name": "demo-1-2000001.508", "member": "demo-1", "oldEpoch": 2, "head": "2000001.508", "newEpoch": 3,
        "newActive": "demo-0", "ops": 4, "bytes": 2231, "keptAt": ago(7000), "state": "Pending", "diffHead": "2000001.504",
        "changes": ["created table t1"], "moreChanges": 2,
    })
}

fn lease(renewed: i64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "demo-active", "namespace": "kudu", "resourceVersion": "17",
            "annotations": { "kudupair.io/epoch": "3", "kudupair.io/lease-duration-milliseconds": "6000" },
        },
        "spec": { "holderIdentity": "demo-0/uid/1", "leaseDurationSeconds": 6, "renewTime": ago(renewed) },
    })
}

/// A pair whose status was written so many seconds ago.
pub(crate) fn look(spec: Value, status: Value, written: i64, lease: Option<Value>) -> Look {
    let pair = json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair",
        "metadata": {
            "name": "demo", "namespace": "kudu", "generation": 1, "creationTimestamp": "2026-02-01T00:00:00Z",
            "managedFields": [
                { "manager": "kudu-pair", "operation": "Update", "subresource": "status", "time": ago(written) },
                { "manager": "kubectl", "operation": "Update", "time": "2026-03-01T11:59:59Z" },
            ],
        },
        "spec": spec, "status": status,
    });
    let lease = lease.map(|lease| serde_json::from_value(lease).unwrap());
    Look { pair: serde_json::from_value(pair).unwrap(), lease, now: now() }
}

pub(crate) fn well() -> Look {
    look(json!({}), healthy(), 3, Some(lease(1)))
}

/// The same with these fields of the status.
fn with(fields: Value) -> Value {
    let mut status = healthy();
    for (name, value) in fields.as_object().unwrap() {
        status[name] = value.clone();
    }
    status
}

/// The active is gone, and the pair asks a person.
pub(crate) fn lost(reason: &str, message: &str) -> Look {
    let mut status = with(json!({
        "phase": "Down", "lag": "unknown", "lagSampledAt": null,
        "conditions": [
            condition("StandbysInSync", "True", "Streaming", "every standby receives the active's log"),
            condition("Ready", "False", reason, message),
        ],
    }));
    status["members"][0] = json!({
        "name": "demo-0", "role": "Unknown", "state": "Unreachable", "head": "3000001.1405",
        "message": "there is no pod; see the StatefulSet's events",
    });
    status["members"][1]["state"] = "Connecting".into();
    look(json!({ "failover": { "mode": "Approval" } }), status, 40, Some(lease(45)))
}

pub(crate) const ASKED: &str = "the active is lost and spec.failover.mode is Approval; bring it back, or approve a failover: demo-1 \
    has the log up to 3000001.1403, the old active's went to 3000001.1405: at least 2 operations are lost, and whatever came after \
    the last known one; kubectl annotate -n kudu kmp demo --overwrite kudupair.io/approve-failover=4/demo-1/at-least-2";

#[test]
fn a_pair_that_is_well() {
    insta::assert_snapshot!(status::text(&well(), Style::PLAIN));
}

#[test]
fn a_pair_for_programs() {
    insta::assert_json_snapshot!(status::report(&well()));
}

#[test]
fn a_controller_that_is_down() {
    let look = look(json!({}), healthy(), 300, Some(lease(1)));
    insta::assert_snapshot!(status::text(&look, Style::PLAIN));
}

#[test]
fn what_keeps_a_pair_from_switching() {
    let mut status = with(json!({
        "phase": "Degraded", "lag": "12000 ops, 3 MB, 8.0 s",
        "gaps": [gap_kept()],
        "conditions": [
            condition("Ready", "True", "Serving", "demo-0 serves in epoch 3"),
            condition("StandbysInSync", "False", "StandbyBehind", "demo-1 is CopyingBase"),
            condition("GapPending", "True", "ReplayedOnSwitchBack", "4 operations wait"),
            condition("AutomaticFailover", "Unknown", "Odd", "not known"),
        ],
    }));
    let behind = json!({ "head": "3000001.4", "lagOps": 1401, "lagBytes": 70500, "lagMilliseconds": 8000, "state": "CopyingBase",
        "message": "copies a base" });
    for (name, value) in behind.as_object().unwrap() {
        status["members"][1][name] = value.clone();
    }
    let paused = look(json!({ "paused": true, "standbys": 1 }), status, 3, Some(lease(1)));
    insta::assert_snapshot!(status::text(&paused, Style::PLAIN));
}

#[test]
fn a_pair_that_asks_a_person() {
    insta::assert_snapshot!(status::text(&lost("ApprovalNeeded", ASKED), Style::PLAIN));
}

#[test]
fn a_switch_under_way() {
    let status = with(json!({
        "phase": "SwitchingOver",
        "switch": {
            "kind": "Switchover", "epoch": 4, "step": "Fencing", "from": "demo-0", "to": "demo-1", "startedAt": ago(1),
            "why": "as annotated", "waitingFor": "waiting until demo-0 has stopped its kudu-master",
        },
    }));
    let mut released = lease(2);
    released["spec"]["holderIdentity"] = Value::Null;
    released["metadata"]["annotations"]["kudupair.io/final-head"] = "3000001.1405".into();
    insta::assert_snapshot!(status::text(&look(json!({}), status, 1, Some(released)), Style::PLAIN));
}

#[test]
fn a_pair_that_nobody_has_seen() {
    let mut look = look(json!({}), json!({}), 0, None);
    look.pair.status = None;
    look.pair.metadata.managed_fields = None;
    insta::assert_snapshot!(status::text(&look, Style::PLAIN));
}

#[test]
fn many_pairs() {
    let mut second = well();
    second.pair.metadata.name = Some("alpha".to_owned());
    let looks = [second, look(json!({}), healthy(), 300, Some(lease(1))), lost("ApprovalNeeded", ASKED)];
    insta::assert_snapshot!(status::list(&looks, true, Style::PLAIN));
}

#[test]
fn the_failover_that_waits() {
    let look = lost("ApprovalNeeded", ASKED);
    let proposal = failover::proposal(&look).unwrap();
    assert_eq!((proposal.wish, proposal.value.as_str()), (Wish::Failover, "4/demo-1/at-least-2"));
    insta::assert_snapshot!(proposal.text(&look));
    let off = failover::proposal(&lost("FailoverOff", "the mode is Off")).unwrap();
    assert_eq!((off.wish, off.value.as_str()), (Wish::Switchover, "any@20260301T120000.000Z"));
}

#[test]
fn no_failover_waits() {
    insta::assert_snapshot!(failover::proposal(&well()).unwrap_err());
}

/// What the controller writes is what the plugin reads: the message is made by the controller's own function.
#[test]
fn the_proposal_is_found_in_the_controllers_own_words() {
    let look = lost(
        "LossNeedsApproval",
        &format!(
            "demo-1 is the best member that answers, but (x); accept: {ASKED} (the annotation says \"1/x/2\", which approves something else)"
        ),
    );
    assert_eq!(failover::proposal(&look).unwrap().value, "4/demo-1/at-least-2");
}

#[test]
fn dry_runs() {
    let yes = dry_run_text(&well().switch_now(None), false);
    let no = dry_run_text(&lost("ApprovalNeeded", ASKED).switch_now(Some("demo-7")), false);
    let alone = dry_run_text(&look(json!({}), healthy(), 300, Some(lease(1))).switch_now(None), true);
    insta::assert_snapshot!(format!("{yes}---\n{no}---\n{alone}"));
}

#[test]
fn requests_are_followed_to_their_end() {
    let read = |fields: Value| serde_json::from_value(with(fields)).unwrap();
    let value = unique("any", now());
    let asked = |answer: &str| json!({ "request": value, "answer": answer, "message": "m" });
    let far = |fields| progress(&read(fields), Wish::Switchover, &value);
    assert_eq!(far(json!({})), Progress::Unanswered);
    assert_eq!(
        far(json!({ "switchover": { "request": "any@1", "answer": "Refused", "message": "" } })),
        Progress::Unanswered
    );
    assert_eq!(far(json!({ "switchover": asked("Accepted") })), Progress::UnderWay("m".to_owned()));
    let switch = json!({ "kind": "Switchover", "epoch": 4, "step": "Promoting", "startedAt": ago(1) });
    let under_way = far(json!({ "switchover": asked("Accepted"), "switch": switch }));
    assert_eq!(under_way, Progress::UnderWay("Promoting".to_owned()));
    assert_eq!(far(json!({ "switchover": asked("RolledBack") })), Progress::Ended(Answer::RolledBack, "m".to_owned()));
}

#[test]
fn outcomes() {
    let outcome = |answer| Outcome {
        request: "any@1".to_owned(),
        answer,
        message: "why".to_owned(),
        receipt: None,
        overdue: true,
    };
    let all = [Some(Answer::Completed), Some(Answer::Refused), Some(Answer::RolledBack), Some(Answer::Accepted), None];
    let exits: Vec<_> = all.iter().map(|answer| outcome(*answer).exit()).collect();
    assert_eq!(exits, [Exit::Done, Exit::No, Exit::RolledBack, Exit::NoAnswer, Exit::NoAnswer]);
    let texts: String = all.iter().map(|answer| outcome(*answer).text()).collect();
    insta::assert_snapshot!(texts);
}

#[test]
fn pause_and_resume() {
    let said = |paused, seen| Said { name: "demo".to_owned(), paused, seen_by_controller: seen }.text();
    insta::assert_snapshot!(format!("{}{}{}", said(true, true), said(false, true), said(true, false)));
}

#[test]
fn fence_and_unfence() {
    let annotated = |value: &str| {
        let mut look = look(json!({ "standbys": 2 }), json!({}), 3, None);
        look.pair.annotations_mut().insert(FENCED_ANNOTATION.to_owned(), value.to_owned());
        look.pair
    };
    assert_eq!(fence::with(&annotated(""), "demo-1"), Ok(vec!["demo-1".to_owned()]));
    assert_eq!(fence::with(&annotated("demo-2, demo-1"), "demo-1").unwrap(), ["demo-1", "demo-2"]);
    assert_eq!(fence::without(&annotated("demo-2,demo-1"), "demo-1").unwrap(), ["demo-2"]);
    assert_eq!(fence::without(&annotated("demo-1"), "demo-1"), Ok(Vec::new()));
    let refusals = [
        fence::with(&annotated(""), "demo-7"),
        fence::with(&annotated("demo-2,demo-1"), "demo-0"),
        fence::without(&annotated(""), "demo-0"),
        fence::without(&annotated("demo-1"), "demo-0"),
    ];
    let said = fence::Said { name: "demo".to_owned(), fenced: Vec::new(), done: true, message: "why".to_owned() };
    let not_yet = fence::Said { done: false, ..said.clone() };
    let refusals: String = refusals.into_iter().map(|refused| refused.unwrap_err() + "\n").collect();
    insta::assert_snapshot!(format!("{refusals}{}{}", said.text(), not_yet.text()));
}

#[test]
fn the_help_teaches() {
    use clap::CommandFactory as _;
    let mut command = super::Plugin::command();
    command.build();
    let mut text = command.render_long_help().to_string();
    for one in command.get_subcommands_mut().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        let help = one.render_long_help();
        text.push_str(&format!("\n=== {} ===\n{help}", one.get_name()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn why_a_pair_is_well() {
    insta::assert_snapshot!(explain::explain(&well()).text(Style::PLAIN));
}

#[test]
fn why_a_pair_asks_a_person() {
    let mut look = lost("ApprovalNeeded", ASKED);
    look.pair.spec.failover.max_loss_seconds = 0;
    insta::assert_snapshot!(explain::explain(&look).text(Style::PLAIN));
}

#[test]
fn why_a_synchronous_pair_is_degraded() {
    let mut status = with(json!({
        "phase": "SwitchingOver",
        "sync": { "epoch": 3, "members": [], "quorum": 0, "degraded": true },
        "switch": {
            "kind": "Switchover", "epoch": 4, "step": "Fencing", "from": "demo-0", "to": "demo-1", "startedAt": ago(31),
            "waitingFor": "waiting until demo-0 has stopped its kudu-master",
        },
        "switches": (0..4).map(|minutes| {
            let mut receipt = healthy()["switches"][0].clone();
            receipt["finishedAt"] = ago(minutes * 60).into();
            receipt
        }).collect::<Vec<_>>(),
    }));
    status["members"][0]["killMilliseconds"] = 1200.into();
    let look = look(json!({}), status, 1, Some(lease(1)));
    insta::assert_snapshot!(explain::explain(&look).text(Style::PLAIN));
}

#[test]
fn gaps() {
    let replayed = json!({
        "name": "demo-0-1000001.9", "member": "demo-0", "oldEpoch": 1, "head": "1000001.9", "newEpoch": 2, "newActive": "demo-1",
        "ops": 1, "bytes": 80, "keptAt": ago(90000), "state": "Replayed", "outcome": ["replayed table t0"],
    });
    let some = look(json!({}), with(json!({ "gaps": [gap_kept(), replayed] })), 1, Some(lease(1)));
    insta::assert_snapshot!(format!("{}---\n{}", gap::text(&some, Style::PLAIN), gap::text(&well(), Style::PLAIN)));
}

#[test]
fn logs_in_one_order() {
    let source = |member: &str, container: &str| Source { member: member.to_owned(), container: container.to_owned() };
    let reigns = Reigns::of(&well().status());
    let logs = [
        (
            "demo-0",
            "kudu-master",
            "2026-03-01T09:00:00.5Z I0301 started\n2026-03-01T11:00:00.25Z I0301 serves\n  a second line\n",
        ),
        ("demo-1", "replication", "2026-03-01T09:00:00.499999999Z active\n2026-03-01T11:00:00.3Z standby\n"),
        ("demo-1", "kudu-master", "2026-02-01T00:00:00Z long ago\n"),
        ("demo-1", "kudu-master", ""),
    ];
    let read = logs.iter().map(|(member, container, log)| lines(log, &source(member, container), &reigns)).collect();
    let merged: String = merge(read).iter().map(|line| text(line, Style::PLAIN)).collect();
    insta::assert_snapshot!(merged);
}

#[test]
fn drills() {
    let status = well().status();
    let leg = || Leg::of(&status.switches[0], std::time::Duration::from_millis(2345));
    let drill = |days: i64| Drill {
        at: now() - jiff::SignedDuration::from_hours(24 * days),
        from: "demo-0".to_owned(),
        to: "demo-1".to_owned(),
        there: leg(),
        back: leg(),
    };
    let drills = [drill(0), drill(30)];
    insta::assert_snapshot!(format!(
        "{}---\n{}",
        drill::text(&drills, now(), Style::PLAIN),
        drill::text(&[], now(), Style::PLAIN)
    ));
    let mut pair = well().pair;
    pair.metadata.annotations =
        Some([("kudupair.io/drills".to_owned(), serde_json::to_string(&drills).unwrap())].into());
    assert_eq!(drill::history(&pair), drills);
    pair.metadata.annotations = Some([("kudupair.io/drills".to_owned(), "spoilt".to_owned())].into());
    assert_eq!(drill::history(&pair), []);
}

#[test]
fn a_drill_begins_only_in_a_pair_that_is_whole() {
    assert_eq!(drill::ready(&well(), None), Ok(("demo-0".to_owned(), "demo-1".to_owned())));
    let degraded = look(json!({}), with(json!({ "phase": "Degraded" })), 1, Some(lease(1)));
    assert!(drill::ready(&degraded, None).unwrap_err().contains("would have to be Running"));
    assert!(drill::ready(&lost("ApprovalNeeded", ASKED), None).unwrap_err().contains("demo-0 is lost"));
    assert!(drill::ready(&well(), Some("demo-0")).unwrap_err().contains("is the active already"));
}
