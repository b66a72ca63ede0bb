//! Years of a pair's certificates: whatever members see of what is written, and however long the controller is away, each
//! trusts what every other shows.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{CertificateFacts, KeyId, Material, material::MemberMaterial, plan::SPREAD};

/// What a member shows and trusts, read once.
#[derive(Debug, Clone)]
struct View {
    shows: CertificateFacts,
    trusts: Vec<(KeyId, Timestamp)>,
}

impl View {
    fn of(material: &MemberMaterial) -> Self {
        let trusted = CertificateFacts::all_of_pem("trusted", &material.trusted).unwrap();
        Self {
            shows: CertificateFacts::of_pem("own", &material.own.certificate).unwrap(),
            trusts: trusted.into_iter().map(|authority| (authority.key.unwrap(), authority.ends)).collect(),
        }
    }

    fn accepts(&self, other: &Self, now: Timestamp) -> bool {
        let signer = other.shows.signed_by.as_ref().unwrap();
        other.shows.is_valid(now) && self.trusts.iter().any(|(key, ends)| key == signer && now <= *ends)
    }
}

/// All that a member may see now: what is written, and what was until [`SPREAD`] ago.
type Views = VecDeque<(Timestamp, View)>;

struct World {
    now: Timestamp,
    material: Material,
    views: BTreeMap<String, Views>,
    authorities: usize,
    certificates: usize,
}

impl World {
    fn new(members: usize) -> Self {
        let names = (0..members).map(|n| (format!("demo-{n}.demo-members.kudu.svc"), None));
        Self {
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
            material: Material { members: names.collect(), ..Material::default() },
            views: BTreeMap::new(),
            authorities: 0,
            certificates: 0,
        }
    }

    /// The controller looks. Returns whether it changed something.
    fn look(&mut self) -> bool {
        let before = self.material.clone();
        let changed = self.material.bring_up_to_date("demo", self.now).unwrap();
        assert_eq!(changed, before != self.material);
        assert!(!self.material.clone().bring_up_to_date("demo", self.now).unwrap(), "it does not come to rest");
        self.authorities += usize::from(before.signing != self.material.signing);
        for (name, material) in &self.material.members {
            let material = material.as_ref().unwrap();
            if before.members.get(name) != Some(&Some(material.clone())) {
                let old = before.members.get(name).and_then(Option::as_ref);
                self.certificates += usize::from(old.is_none_or(|old| old.own != material.own));
                self.views.entry(name.clone()).or_default().push_back((self.now, View::of(material)));
            }
        }
        changed
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        for views in self.views.values_mut() {
            // The one that was written last before then is what the slowest may still see.
            while views.get(1).is_some_and(|(written, _)| *written + SPREAD <= self.now) {
                views.pop_front();
            }
        }
    }

    fn everybody_accepts_everybody(&self) {
        let all = || self.views.iter().flat_map(|(name, views)| views.iter().map(move |(_, view)| (name, view)));
        for (here, one) in all() {
            for (there, other) in all().filter(|(there, _)| *there != here) {
                assert!(
                    one.accepts(other, self.now),
                    "{here} does not accept {there} at {}: {one:?} {other:?}",
                    self.now
                );
            }
        }
    }
}

/// Longest time that the controller may be away without harm: a third of a certificate's life, less what a rotation takes.
const LONGEST_ABSENCE_HOURS: i64 = 28 * 24;

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn years_pass(members in 2_usize..=5, absences in prop::collection::vec(1_i64..LONGEST_ABSENCE_HOURS, 40)) {
        let mut world = World::new(members);
        let begun = world.now;
        let mut absences = absences.into_iter().cycle();
        let mut busy = 0;
        let mut looks = 0_u32;
        while world.now.duration_since(begun) < SignedDuration::from_hours(9 * 365 * 24) {
            busy = if world.look() { 12 } else { busy - 1 };
            looks += 1;
            world.everybody_accepts_everybody();
            // Finely while something is under way, else in days; now and then nobody looks for weeks.
            let step = match (busy > 0, looks % 50) {
                (true, 1..) => SignedDuration::from_mins(11),
                (false, 1..) => SignedDuration::from_hours(26),
                (_, 0) => SignedDuration::from_hours(absences.next().unwrap()),
            };
            let steps = 8;
            for _ in 0..steps {
                world.pass(step / steps);
                world.everybody_accepts_everybody();
            }
        }
        // 9 years: an authority signs for two thirds of 5 years, a certificate is used for two thirds of 90 days.
        prop_assert!((3..=4).contains(&world.authorities), "{} authorities", world.authorities);
        prop_assert!(world.certificates >= members * 35, "{} certificates", world.certificates);
        prop_assert!(world.certificates <= members * 60, "{} certificates", world.certificates);
    }
}

#[test]
fn a_new_member_needs_no_change_of_the_others() {
    let mut world = World::new(2);
    world.look();
    let before = world.material.clone();
    world.material.members.insert("demo-2.demo-members.kudu.svc".to_owned(), None);
    assert!(world.look());
    for (name, material) in &before.members {
        assert_eq!(&world.material.members[name], material);
    }
    world.everybody_accepts_everybody();
}

#[test]
fn what_a_person_spoilt_is_made_anew() {
    let mut world = World::new(2);
    world.look();
    let name = "demo-0.demo-members.kudu.svc";
    let other = world.material.members["demo-1.demo-members.kudu.svc"].clone();
    for spoilt in [None, other] {
        world.material.members.insert(name.to_owned(), spoilt);
        assert!(world.material.bring_up_to_date("demo", world.now).unwrap());
        let made = world.material.members[name].as_ref().unwrap();
        assert_eq!(View::of(made).shows.names, [name]);
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_not_replaced() {
    let mut world = World::new(2);
    world.look();
    let mut material = world.material.clone();
    material.signing.as_mut().unwrap().certificate = "rubbish".to_owned();
    let before = material.clone();
    let error = material.bring_up_to_date("demo", world.now).unwrap_err().to_string();
    assert!(error.contains("the signing authority"), "{error}");
    assert_eq!(material, before);
}

#[test]
fn after_years_without_a_controller_it_begins_anew_at_once() {
    let mut world = World::new(2);
    world.look();
    world.pass(SignedDuration::from_hours(6 * 365 * 24));
    assert!(world.look());
    world.pass(SPREAD);
    world.everybody_accepts_everybody();
}
