//! When a member may hold the pair's Lease.
//!
//! The Lease carries the epoch for which it may be held. Only the controller raises it, and only when the Lease is released or
//! over; only a member that is ordered to serve in that very epoch takes it, and one that gave it back does not take
//! it again in the same epoch. Every write names the version that it changes, so that of two writers one loses.

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};

use super::failsafe::Roster;
use crate::{
    api::{
        SyncRecord,
        names::{
            EPOCH_ANNOTATION, FINAL_HEAD_ANNOTATION, LEASE_DURATION_ANNOTATION, ROSTER_ANNOTATION, SYNC_ANNOTATION,
        },
    },
    wal::OpId,
};

/// What matters in a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// The version that a write must name.
    pub resource_version: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// The epoch for which it may be held.
    pub epoch: i64,
    /// Last op of the holder that gave it back.
    pub final_head: Option<OpId>,
    /// Who may take it after its last holder.
    pub roster: Roster,
}

impl LeaseView {
    /// Reads a Lease.
    pub fn of(lease: &Lease) -> Self {
        let annotation = |name: &str| lease.metadata.annotations.as_ref()?.get(name).cloned();
        Self {
            resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
            holder: lease
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.clone())
                .filter(|holder| !holder.is_empty()),
            epoch: annotation(EPOCH_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(0),
            final_head: annotation(FINAL_HEAD_ANNOTATION).and_then(|text| text.parse().ok()),
            roster: annotation(ROSTER_ANNOTATION).map(|names| names.split(',').map(str::to_owned).collect()),
        }
    }
}

/// What a member that is ordered to serve may do about the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It holds it already.
    Mine,
    /// It may take it.
    Take,
    /// An earlier run of this pod's launcher held it; that one is dead, and nobody gave the Lease back.
    Inherited,
    /// It may not.
    No(String),
}

/// What the member with this identity may do when it is ordered to serve in `epoch`.
pub fn claim(lease: &LeaseView, identity: &str, epoch: i64) -> Claim {
    if lease.epoch != epoch {
        return Claim::No(format!("the Lease is for epoch {} and this member is to serve in {epoch}", lease.epoch));
    }
    match &lease.holder {
        Some(holder) if holder == identity => Claim::Mine,
        Some(holder) if same_pod(holder, identity) => Claim::Inherited,
        Some(holder) => Claim::No(format!("the Lease is held by {holder}")),
        None if lease.final_head.is_some() => {
            Claim::No("the Lease was given back in this epoch; the controller must open a new one".to_owned())
        }
        None => match &lease.roster {
            Some(roster) if !roster.contains(member_of(identity)) => Claim::No(format!(
                "the active before this reign may still serve by the pledges of {}, and did not know this member; switch to \
                 one of those, or, once that active's kudu-master is certainly dead, remove the annotation {ROSTER_ANNOTATION} \
                 from the Lease",
                roster.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            )),
            _ => Claim::Take,
        },
    }
}

/// The member's name in an identity.
fn member_of(identity: &str) -> &str {
    identity.split('/').next().unwrap_or_default()
}

/// Whether two identities are runs of the launcher in one and the same pod.
pub fn same_pod(one: &str, other: &str) -> bool {
    match (one.rsplit_once('/'), other.rsplit_once('/')) {
        (Some((pod, _)), Some((other_pod, _))) => pod == other_pod,
        _ => false,
    }
}

/// The Lease as `identity` holds it from now on.
pub fn held(mut lease: Lease, identity: &str, now: MicroTime, lease_duration_milliseconds: i32) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    if spec.holder_identity.as_deref() != Some(identity) {
        spec.acquire_time = Some(now.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.renew_time = Some(now);
    // Whole seconds are what others can read here.
    spec.lease_duration_seconds = Some(lease_duration_milliseconds.saturating_add(999) / 1000);
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(LEASE_DURATION_ANNOTATION.to_owned(), lease_duration_milliseconds.to_string());
    lease
}

/// Whether a Lease is still what its holder for `epoch` took: what it may renew, and where it may change its promise.
///
/// # Errors
/// Who has it instead: then the reign is over.
pub fn is_held(lease: &LeaseView, identity: &str, epoch: i64) -> Result<(), String> {
    if lease.holder.as_deref() == Some(identity) && lease.epoch == epoch {
        return Ok(());
    }
    let holder = lease.holder.as_deref().unwrap_or("nobody");
    Err(format!("it is held by {holder} for epoch {}", lease.epoch))
}

/// What the Lease says of its holder's standbys.
///
/// # Errors
/// When the annotation is there and cannot be read.
pub fn sync_record(lease: &Lease) -> Result<Option<SyncRecord>, serde_json::Error> {
    let text = lease.metadata.annotations.as_ref().and_then(|annotations| annotations.get(SYNC_ANNOTATION));
    text.map(|text| serde_json::from_str(text)).transpose()
}

/// The Lease with what its holder promises from now on; none: it acknowledges by itself.
pub fn promised(mut lease: Lease, record: Option<&SyncRecord>) -> Lease {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    // The record has no map and no failing serializer, the only errors that serde_json has here.
    match record.and_then(|record| serde_json::to_string(record).ok()) {
        Some(text) => annotations.insert(SYNC_ANNOTATION.to_owned(), text),
        None => annotations.remove(SYNC_ANNOTATION),
    };
    lease
}

/// The Lease as a member takes it for `epoch`: what the one before it promised stays until the new holder writes its own, which
/// it does before anything of its reign is acknowledged or seen. One that acknowledges by itself promises nothing.
pub fn promised_so_far(lease: Lease, epoch: i64, synchronous: bool) -> Lease {
    match (synchronous, sync_record(&lease)) {
        (true, Ok(Some(_))) => lease,
        (true, Ok(None) | Err(_)) => promised(lease, Some(&SyncRecord::none(epoch))),
        (false, _) => promised(lease, None),
    }
}

/// The Lease with its holder put off: held by nobody, for a new epoch. In the version that was read, so that a renewal
/// that came first makes this a conflict.
pub fn fenced(lease: &Lease, epoch: i64) -> Lease {
    let mut lease = lease.clone();
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
    annotations.remove(FINAL_HEAD_ANNOTATION);
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.acquire_time = None;
    spec.renew_time = None;
    spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    lease
}

/// The Lease with those who may take it after its holder.
pub fn with_roster(mut lease: Lease, roster: &Roster) -> Lease {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    match roster {
        Some(members) => {
            let names = members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            annotations.insert(ROSTER_ANNOTATION.to_owned(), names)
        }
        None => annotations.remove(ROSTER_ANNOTATION),
    };
    lease
}

/// The Lease given back by a holder whose log ends at `final_head`. Its kudu-master is dead, so it needs no pledges any more.
pub fn released(mut lease: Lease, final_head: Option<OpId>) -> Lease {
    lease.spec.get_or_insert_default().holder_identity = None;
    let head = final_head.unwrap_or_default();
    lease.metadata.annotations.get_or_insert_default().insert(FINAL_HEAD_ANNOTATION.to_owned(), head.to_string());
    with_roster(lease, &None)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn lease(holder: Option<&str>, epoch: i64, final_head: Option<OpId>) -> LeaseView {
        LeaseView { resource_version: "1".into(), holder: holder.map(Into::into), epoch, final_head, roster: None }
    }

    #[rstest]
    #[case::free(lease(None, 3, None), Claim::Take)]
    #[case::held(lease(Some("p-0/u/a"), 3, None), Claim::Mine)]
    #[case::launcher_restarted(lease(Some("p-0/u/b"), 3, None), Claim::Inherited)]
    fn may(#[case] lease: LeaseView, #[case] expected: Claim) {
        assert_eq!(claim(&lease, "p-0/u/a", 3), expected);
    }

    #[rstest]
    #[case::another_pod(lease(Some("p-1/v/a"), 3, None))]
    #[case::same_name_new_pod(lease(Some("p-0/w/a"), 3, None))]
    #[case::older_epoch(lease(None, 2, None))]
    #[case::newer_epoch(lease(Some("p-0/u/a"), 4, None))]
    #[case::given_back(lease(None, 3, Some(OpId::new(3, 9))))]
    fn may_not(#[case] lease: LeaseView) {
        assert!(matches!(claim(&lease, "p-0/u/a", 3), Claim::No(_)));
    }

    #[test]
    fn who_is_not_on_the_roster_does_not_take_it_until_it_was_given_back() {
        let roster = Some(["p-0", "p-1"].map(str::to_owned).into());
        let lease = with_roster(Lease::default(), &roster);
        assert_eq!(LeaseView::of(&lease).roster, roster);
        let fenced = LeaseView { epoch: 3, ..LeaseView::of(&lease) };
        for (member, may) in
            [("p-0/u/a", true), ("p-0/v/a", true), ("p-1/u/a", true), ("p-2/u/a", false), ("p/u/a", false)]
        {
            assert_eq!(claim(&fenced, member, 3) == Claim::Take, may, "{member}");
        }
        let mine = LeaseView { holder: Some("p-2/u/a".to_owned()), ..fenced };
        assert_eq!(claim(&mine, "p-2/u/a", 3), Claim::Mine);
        assert_eq!(LeaseView::of(&released(lease, None)).roster, None);
    }

    #[test]
    fn giving_back_says_the_last_op_and_bars_the_epoch() {
        let lease = held(Lease::default(), "p-0/u/a", MicroTime(jiff::Timestamp::UNIX_EPOCH), 6000);
        let back = LeaseView::of(&released(lease, Some(OpId::new(3, 9))));
        assert_eq!(
            back,
            LeaseView { resource_version: String::new(), ..super::tests::lease(None, 0, Some(OpId::new(3, 9))) }
        );
    }

    #[test]
    fn a_fence_keeps_the_version_and_what_others_wrote() {
        let of = |annotations: serde_json::Value, spec: serde_json::Value| -> serde_json::Value {
            serde_json::json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": "demo-active", "namespace": "kudu", "resourceVersion": "7",
                    "labels": { "kudupair.io/pair": "demo" },
                    "annotations": annotations,
                },
                "spec": spec,
            })
        };
        let left = of(
            serde_json::json!({ "kudupair.io/epoch": "3", "kudupair.io/final-head": "3000001.42", "other": "stays" }),
            serde_json::json!({ "leaseTransitions": 4, "leaseDurationSeconds": 6 }),
        );
        let fenced = fenced(&serde_json::from_value(left).unwrap(), 4);
        let expected = of(
            serde_json::json!({ "kudupair.io/epoch": "4", "other": "stays" }),
            serde_json::json!({ "leaseTransitions": 5, "leaseDurationSeconds": 6 }),
        );
        assert_eq!(serde_json::to_value(&fenced).unwrap(), expected);
    }

    #[test]
    fn only_its_holder_in_its_own_epoch_has_a_lease() {
        let held = lease(Some("p-0/u/a"), 3, None);
        assert_eq!(is_held(&held, "p-0/u/a", 3), Ok(()));
        for (identity, epoch) in [("p-0/u/b", 3), ("p-0/u/a", 2), ("p-0/u/a", 4)] {
            assert_eq!(is_held(&held, identity, epoch), Err("it is held by p-0/u/a for epoch 3".to_owned()));
        }
        assert_eq!(is_held(&lease(None, 3, None), "p-0/u/a", 3), Err("it is held by nobody for epoch 3".to_owned()));
    }
}
