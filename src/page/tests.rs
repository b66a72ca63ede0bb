use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::plugin::tests::{ASKED, ago, healthy, look, lost, well};

fn server(leads: bool, heard: Option<Duration>) -> Server {
    Server { identity: "controller-0".to_owned(), leads, heard }
}

fn shown(looks: Vec<Look>) -> Value {
    let seen = looks.into_iter().map(|look| Seen::Pair(Box::new(look))).collect();
    serde_json::to_value(view(&server(true, Some(Duration::ZERO)), seen)).unwrap()
}

fn named(mut look: Look, name: &str) -> Look {
    look.pair.metadata.name = Some(name.to_owned());
    look
}

fn with(fields: Value) -> Look {
    let mut status = healthy();
    status.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    look(json!({}), status, 3, None)
}

fn one(look: Look) -> Value {
    shown(vec![look])["pairs"][0].clone()
}

#[test]
fn a_pair_that_is_well() {
    insta::assert_json_snapshot!(shown(vec![well()]));
}

#[test]
fn problems_come_first() {
    let behind = with(json!({ "phase": "Degraded" }));
    let unreadable = Seen::Unreadable { namespace: "kudu".into(), name: "x".into(), error: "no spec".into() };
    let looks = [named(well(), "a"), named(behind, "b"), named(lost("ApprovalNeeded", ASKED), "c"), named(well(), "0")];
    let seen = looks.into_iter().map(|look| Seen::Pair(Box::new(look))).chain([unreadable]).collect();
    let view = serde_json::to_value(view(&server(true, Some(Duration::ZERO)), seen)).unwrap();
    let order: Vec<_> =
        view["pairs"].as_array().unwrap().iter().map(|pair| (&pair["name"], &pair["urgency"])).collect();
    let wanted = [("c", "bad"), ("x", "bad"), ("b", "attention"), ("0", "good"), ("a", "good")];
    assert_eq!(order, wanted.map(|(name, urgency)| (json!(name), json!(urgency))).each_ref().map(|(n, u)| (n, u)));
}

#[test]
fn what_is_not_known_is_not_zero() {
    let member =
        json!({ "name": "demo-1", "role": "Standby", "state": "Streaming", "lagOps": 0, "lagSampledAt": ago(41) });
    let pair = one(with(json!({ "members": [member] })));
    assert_eq!(pair["lags"], json!([{ "member": "demo-1", "ops": null }]), "it was measured long ago");
    let pair = one(with(json!({ "switches": [{
        "kind": "Failover", "epoch": 3, "to": "demo-0", "opsLost": "unknown", "outcome": "RolledBack", "startedAt": ago(9),
        "finishedAt": ago(8), "detectSeconds": "5.2", "fenceSeconds": "?", "replaySeconds": "0.9", "repointSeconds": "0.1",
    }] })));
    let row = &pair["switches"][0];
    assert_eq!(row["lost"], json!({ "urgency": "attention", "text": "unknown how many operations were lost" }));
    assert_eq!(row["outcome"]["text"], "rolled back");
    assert_eq!(row["parts"].as_array().unwrap().len(), 3, "a time that is no number is no bar");
}

#[test]
fn a_gap_names_the_command() {
    let pair = one(with(json!({ "gaps": [{
        "name": "demo-1-2000001.508", "member": "demo-1", "oldEpoch": 2, "head": "2000001.508", "newEpoch": 3, "newActive": "demo-0",
        "ops": 4, "bytes": 2231, "keptAt": ago(70), "state": "Pending", "changes": ["created table t1"], "moreChanges": 2,
    }] })));
    let text = "4 operations that only demo-1 had, waits: created table t1, and 2 more";
    let command = "kubectl kudupair gap plan -n kudu demo-1-2000001.508 demo";
    assert_eq!(pair["gaps"], json!([{ "name": "demo-1-2000001.508", "text": text, "command": command }]));
}

#[test]
fn a_controller_that_hears_nothing_says_so() {
    let warnings = |heard| serde_json::to_value(view(&server(false, heard), Vec::new())).unwrap()["warnings"].clone();
    assert_eq!(warnings(Some(Duration::from_secs(1))), json!([]));
    assert!(warnings(Some(Duration::from_secs(40)))[0].as_str().unwrap().contains("for 40 s"));
    assert!(warnings(None)[0].as_str().unwrap().contains("not reached the API server yet"));
}

#[rstest]
#[case("localhost:8063", true)]
#[case("LOCALHOST", true)]
#[case("127.0.0.1:9000", true)]
#[case("[::1]:8063", true)]
#[case("[::1]", true)]
#[case("rebound.example:8063", false)]
#[case("127.0.0.1.rebound.example", false)]
#[case("localhost.rebound.example:80", false)]
#[case("10.1.2.3:8063", false)]
#[case("", false)]
fn only_names_of_this_machine(#[case] host: &str, #[case] answered: bool) {
    assert_eq!(answers_to(Some(host)), answered);
    assert!(!answers_to(None));
}

/// Nothing is loaded from elsewhere, and no text of others becomes markup.
#[test]
fn the_files_keep_to_themselves() {
    for file in FILES {
        for word in ["https://", "http:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            let text = file.text.replace("http://www.w3.org/2000/svg", "").replace("xmlns='http:", "");
            assert!(!text.contains(word), "{} has {word}", file.path);
        }
    }
}
