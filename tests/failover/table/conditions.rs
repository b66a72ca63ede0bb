//! Every condition takes every status that the book lists for it when its cause is made, and its usual one when that is gone.

use std::collections::BTreeSet;

use kudu_pair::{
    api::{AcknowledgementMode, Encryption, FailoverMode, SyncRecord, names::FENCED_ANNOTATION},
    failover::observation::CertificatesSeen,
};

use super::*;

/// Type, status and reason, and what makes a pair that is well have them.
type Way = (&'static str, &'static str, &'static str, fn(&mut Observation));

const WAYS: &[Way] = &[
    ("Ready", "Unknown", "ActiveNotHeard", |seen| silence(seen, "demo-0")),
    ("Ready", "False", "WaitingForMembers", uncreated),
    ("Ready", "False", "WaitingForCandidates", |seen| *seen = fenced(active_lost(running()), ms(0))),
    ("Ready", "False", "ServiceElsewhere", |seen| seen.service_active = None),
    ("Ready", "False", "ActiveNotServing", |seen| report_mut(seen, "demo-0").state = MemberState::Promoting),
    ("Ready", "False", "ApprovalNeeded", |seen| lost_in(seen, FailoverMode::Approval)),
    ("Ready", "False", "FailoverOff", |seen| lost_in(seen, FailoverMode::Off)),
    ("StandbysInSync", "False", "StandbyBehind", |seen| silence(seen, "demo-1")),
    ("StandbysInSync", "False", "NotInitialized", uncreated),
    ("ReplicaVerified", "False", "DigestMismatch", |seen| make_unfit(seen, "demo-1")),
    ("ReplicaVerified", "Unknown", "NotCompared", |seen| silence(seen, "demo-1")),
    ("Synchronous", "True", "InSync", |seen| synchronous(seen, &["demo-1"], false)),
    ("Synchronous", "False", "Degraded", |seen| synchronous(seen, &[], true)),
    ("Synchronous", "False", "Blocked", |seen| synchronous(seen, &[], false)),
    ("Synchronous", "False", "NotYet", |seen| acknowledge_by_all(seen)),
    ("CatalogFormatted", "False", "NotInitialized", uncreated),
    ("Switching", "True", "Fencing", |seen| *seen = fenced(active_lost(running()), ms(0))),
    ("SpecAccepted", "False", "ActiveWouldBeRemoved", the_active_is_too_many),
    ("UpToDate", "False", "Updating", |seen| seen.update_revision = Some("r2".to_owned())),
    // The last pod of an old revision is gone, and the new one not made yet.
    ("UpToDate", "False", "Updating", |seen| member_mut(seen, "demo-1").pod = None),
    ("UpToDate", "False", "NotKnown", |seen| seen.update_revision = None),
    ("AutomaticFailover", "False", "Off", |seen| seen.pair.spec.failover.mode = FailoverMode::Off),
    ("AutomaticFailover", "False", "Approval", |seen| seen.pair.spec.failover.mode = FailoverMode::Approval),
    ("AutomaticFailover", "False", "Paused", |seen| seen.pair.spec.paused = true),
    ("StreamEncrypted", "False", "Plaintext", |seen| seen.pair.spec.replication.encryption = Encryption::Plaintext),
    ("StreamEncrypted", "False", "Waiting", |seen| report_mut(seen, "demo-1").encryption = None),
    ("StreamEncrypted", "True", "CertManagerMissing", |seen| {
        seen.pair.spec.replication.encryption = Encryption::CertManager;
        let message = "install it".to_owned();
        seen.certificates = Some(CertificatesSeen::Missing { reason: "CertManagerMissing", message });
    }),
    ("KillTimeKept", "True", "Kept", |seen| report_mut(seen, "demo-1").kill_milliseconds = Some(12)),
    ("KillTimeKept", "False", "KillTimeExceeded", |seen| report_mut(seen, "demo-1").kill_milliseconds = Some(1_001)),
    ("GapPending", "True", "ReplayedOnSwitchBack", |seen| report_mut(seen, "demo-1").gaps = vec![super::gaps::kept()]),
    ("Fenced", "True", "Fenced", |seen| annotate_as(seen, FENCED_ANNOTATION, "demo-1")),
    ("Fenced", "False", "NoSuchMember", |seen| annotate_as(seen, FENCED_ANNOTATION, "demo-7")),
    ("Paused", "True", "SpecPaused", |seen| seen.pair.spec.paused = true),
];

fn uncreated(seen: &mut Observation) {
    *seen = created();
    seen.members.iter_mut().for_each(|member| member.heard = None);
}

fn lost_in(seen: &mut Observation, mode: FailoverMode) {
    *seen = active_lost(running());
    seen.pair.spec.failover.mode = mode;
}

fn acknowledge_by_all(seen: &mut Observation) {
    seen.pair.spec.replication.acknowledgement.mode = AcknowledgementMode::All;
}

/// As many of these standbys as there are have each operation before it is acknowledged.
fn synchronous(seen: &mut Observation, members: &[&str], degraded: bool) {
    acknowledge_by_all(seen);
    let quorum = i32::try_from(members.len()).unwrap();
    let members = members.iter().map(|name| (*name).to_owned()).collect();
    let record = SyncRecord { members, quorum, degraded, floor: Some(op(90)), ..SyncRecord::none(EPOCH) };
    lease_mut(seen).sync = Some(record.clone());
    report_mut(seen, "demo-0").sync = Some(record);
}

/// demo-2 is the active of a pair that is to have one standby.
fn the_active_is_too_many(seen: &mut Observation) {
    *seen = running_with(2);
    status_mut(seen).active = Some("demo-2".to_owned());
    seen.pair.spec.standbys = 1;
}

/// Type, status and reason of every condition that a decision leaves.
fn all(seen: &Observation) -> Vec<(String, String, String)> {
    let decision = decided(seen);
    let conditions = written(&decision).conditions.iter();
    conditions.map(|said| (said.type_.clone(), said.status.clone(), said.reason.clone())).collect()
}

#[test]
fn each_is_made_and_ends() {
    let usual = all(&running());
    let mut wrong = Vec::new();
    for &(type_, status, reason, make) in WAYS {
        let way = (type_.to_owned(), status.to_owned(), reason.to_owned());
        assert!(!usual.contains(&way), "{way:?} is usual");
        let mut seen = running();
        make(&mut seen);
        let made = all(&seen);
        if !made.contains(&way) {
            let instead = made.into_iter().find(|(made, ..)| made == type_);
            wrong.push(format!("{way:?} is not made, but {instead:?}"));
        }
        let conditions = written(&decided(&seen)).conditions.clone();
        let mut seen = running();
        status_mut(&mut seen).conditions = conditions;
        let after = all(&seen);
        if after != usual {
            wrong.push(format!("{way:?} does not end: {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_status_of_the_book_is_left_out() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/conditions.md")).unwrap();
    let made = WAYS.iter().map(|(type_, status, ..)| ((*type_).to_owned(), (*status).to_owned()));
    let made: BTreeSet<_> = made.chain(all(&running()).into_iter().map(|(type_, status, _)| (type_, status))).collect();
    let mut told = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        let (type_, rows) = section.split_once('\n').unwrap();
        for row in rows.lines().filter(|line| line.contains(" | `")) {
            match row.split('|').nth(1).unwrap().trim() {
                "either" => told.extend(["True", "False"].map(|status| (type_.to_owned(), status.to_owned()))),
                status => told.extend([(type_.to_owned(), status.to_owned())]),
            }
        }
    }
    assert!(told.len() > 28, "docs/reference/conditions.md has lost its tables");
    let left_out: Vec<_> = told.difference(&made).collect();
    assert!(left_out.is_empty(), "nobody makes {left_out:?}");
    let untold: Vec<_> = made.difference(&told).collect();
    assert!(untold.is_empty(), "not in docs/reference/conditions.md: {untold:?}");
}
