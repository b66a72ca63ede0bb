//! The stream between members is encrypted, and only between members of the pair.

use std::{fs, net::IpAddr};

use kudu_pair::failover::member::{LinkEncryption, MemberReport};

use crate::{
    member::{Member, PAIR},
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
    tls_peer::{Authority, certify, register, trust},
};

const NEW_CERTIFICATE: &str = "new links use this certificate";
const REGISTERED: &str = "a standby registered";

/// A pair whose members have certificates of `authority` and trust it alone; nothing runs yet.
fn certified(authority: &Authority) -> Pair {
    let pair = Pair::new();
    for member in [&pair.a, &pair.b] {
        trust(member, &[authority]);
        certify(member, authority);
    }
    configure(&pair);
    pair
}

/// Writes the configurations anew: with certificates for a member that has one.
fn configure(pair: &Pair) {
    pair.a.configure(PAIR, &[&pair.b], None);
    pair.b.configure(PAIR, &[&pair.a], Some(&pair.a));
}

fn encrypts(report: &MemberReport) -> bool {
    report.encryption == Some(LinkEncryption::Tls)
}

#[test]
fn a_pair_with_certificates_streams_and_is_switched() {
    let mut pair = certified(&Authority::new(PAIR));
    pair.begin();
    assert!(encrypts(&pair.a.status()) && encrypts(&pair.b.status()));
    pair.change_catalog("encrypted");
    let head = wait_until_equal(&pair.a, &pair.b);
    let before = pair.catalog();
    let head = head.max(wait_until_equal(&pair.a, &pair.b));

    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.b.wait_until("b serves", is_serving);
    pair.assert_catalog(&before);
    pair.a.configure(PAIR, &[&pair.b], Some(&pair.b));
    pair.a.start();
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    pair.a.wait_until("a streams", is_streaming);
    wait_until_equal(&pair.b, &pair.a);
    pair.check();
}

/// Restarts b's sidecar with what it has been given, and returns what it and the active say of the connection.
#[track_caller]
fn assert_refused(pair: &mut Pair, here: &str, there: &str) {
    pair.b.crash_sidecar();
    configure(pair);
    let since = pair.a.sidecar_log().len();
    pair.b.start_sidecar();
    let report = pair.b.wait_until(&format!("b says: {here}"), |report| {
        report.message.as_ref().is_some_and(|message| message.contains(here))
    });
    pair.a.wait_until_logged(since, there);
    println!("b: {}\na: {there}", report.message.as_deref().unwrap_or_default());
    assert!(!report.has_catalog, "b got something: {report:?}");
}

#[test]
fn who_cannot_show_a_certificate_of_the_pair_is_refused_and_both_say_why() {
    let (own, other) = (Authority::new(PAIR), Authority::new(PAIR));
    let mut pair = certified(&own);
    pair.a.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", is_serving);
    pair.b.start_launcher();

    // Of another authority, though it trusts the active's.
    trust(&pair.b, &[&own, &other]);
    certify(&pair.b, &other);
    assert_refused(
        &mut pair,
        "it does not trust the authority that issued this member's certificate",
        "its certificate was issued by an authority that this member does not trust",
    );
    // One that trusts another authority only does not even show its certificate.
    trust(&pair.b, &[&other]);
    assert_refused(
        &mut pair,
        "its certificate was issued by an authority that this member does not trust",
        "it does not trust the authority that issued this member's certificate",
    );
    // In plain text.
    for file in pair.b.certificate_files() {
        fs::remove_file(file).expect("a file");
    }
    assert_refused(&mut pair, "this member encrypts, and you talk in plain text", "it talks in plain text");

    // With the right one it is served.
    trust(&pair.b, &[&own]);
    certify(&pair.b, &own);
    pair.b.crash_sidecar();
    configure(&pair);
    pair.b.start_sidecar();
    pair.b.wait_until("b streams", is_streaming);
    wait_until_equal(&pair.a, &pair.b);
}

#[test]
fn who_encrypts_is_not_served_in_plain_text() {
    let authority = Authority::new(PAIR);
    let mut pair = Pair::new();
    trust(&pair.b, &[&authority]);
    certify(&pair.b, &authority);
    pair.a.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", is_serving);
    pair.b.start_launcher();
    pair.b.start_sidecar();
    assert_refused(&mut pair, "it may be set to plain text", "this member is set to plain text");
}

#[test]
fn a_certificate_of_another_member_or_pair_opens_nothing() {
    let (own, foreign) = (Authority::new(PAIR), Authority::new("other"));
    let mut pair = certified(&own);
    // Even if a trusts the other pair's authority, say because one signs for both.
    trust(&pair.a, &[&own, &foreign]);
    pair.a.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", is_serving);

    let (b, c, of_other) = (own.issue("b"), own.issue("c"), foreign.issue("b"));
    let from = IpAddr::V4(pair.b.ip);
    let try_as = |shows, claims| register(&pair.a, "a.demo", from, &[&own], shows, claims);
    for (shows, claims, says) in [
        (Some(&c), (PAIR, "b"), "its certificate is for c.demo, and that of this member would be for b.demo"),
        (Some(&of_other), (PAIR, "b"), "its certificate is for b.other, and that of this member would be for b.demo"),
        (Some(&of_other), ("other", "b"), "it belongs to pair \"other\""),
        (Some(&c), (PAIR, "c"), "is no member of this pair"),
        (None, (PAIR, "b"), "CertificateRequired"),
    ] {
        let since = pair.a.sidecar_log().len();
        let answer = try_as(shows, claims);
        println!("{claims:?}: {answer}");
        assert!(answer.contains(says), "{claims:?} is told {answer:?} and not {says:?}");
        let logged = if shows.is_some() { "a registration is refused" } else { "it shows no certificate" };
        pair.a.wait_until_logged(since, logged);
    }
    // It is the certificate: the same words with the right one are understood.
    let answer = try_as(Some(&b), (PAIR, "b"));
    assert!(answer.contains("TakeBase") || answer.contains("the active is starting"), "{answer}");
    // And who dials does not talk to another member than the one that it dialled.
    let answer = register(&pair.a, "b.demo", from, &[&own], Some(&b), (PAIR, "b"));
    assert!(answer.contains("b.demo") && answer.contains("a.demo"), "{answer}");
}

#[test]
fn an_authority_is_replaced_under_a_running_stream() {
    let (old, new) = (Authority::new(PAIR), Authority::new(PAIR));
    let mut pair = certified(&old);
    pair.begin();
    let registrations = |pair: &Pair| pair.a.sidecar_log().matches(REGISTERED).count();
    let before = registrations(&pair);
    let old_certificate = old.issue("b");

    let change = |pair: &Pair, what: &dyn Fn(&Member)| {
        let since = [&pair.a, &pair.b].map(|member| member.sidecar_log().len());
        what(&pair.a);
        what(&pair.b);
        for (member, since) in [&pair.a, &pair.b].into_iter().zip(since) {
            member.wait_until_logged(since, NEW_CERTIFICATE);
        }
    };
    change(&pair, &|member| trust(member, &[&old, &new]));
    pair.client.create_table("while_both_are_trusted", 2);
    change(&pair, &|member| certify(member, &new));
    // Between the two writes of a certificate and its key the files do not fit together: what was used before stays.
    assert!(encrypts(&pair.a.status()) && encrypts(&pair.b.status()));
    change(&pair, &|member| trust(member, &[&new]));
    pair.client.create_table("with_the_new_one_alone", 2);
    wait_until_equal(&pair.a, &pair.b);
    assert_eq!(registrations(&pair), before, "the stream was interrupted");

    // A new connection has to show a certificate of the new authority.
    let from = IpAddr::V4(pair.b.ip);
    let answer = register(&pair.a, "a.demo", from, &[&new], Some(&old_certificate), (PAIR, "b"));
    assert!(answer.contains("UnknownCA"), "{answer}");
    pair.b.crash_sidecar();
    pair.b.start_sidecar();
    pair.b.wait_until("b streams again", is_streaming);
    wait_until_equal(&pair.a, &pair.b);
    assert_eq!(registrations(&pair), before + 1);
    pair.check();
}

#[test]
fn without_certificates_and_without_asking_for_plain_text_nothing_starts() {
    let authority = Authority::new(PAIR);
    let pair = certified(&authority);
    let file = pair.b.path("config.yaml");
    let config = fs::read_to_string(&file).expect("a configuration");
    let mut without: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    without["tls"] = serde_json::Value::Null;
    fs::write(&file, without.to_string()).expect("a file");
    let refusal = |pair: &Pair| {
        let (status, said) = pair.b.failing_sidecar();
        assert!(!status.success());
        said.lines().last().unwrap_or_default().to_owned()
    };
    let said = refusal(&pair);
    assert!(said.contains("tls: ") && said.contains("plaintext: true") && said.contains("kudu-pair pki"), "{said}");

    fs::write(&file, config).expect("a file");
    let [_, certificate, key] = pair.b.certificate_files();
    fs::copy(&authority.issue("c")[1], key).expect("a copy");
    let said = refusal(&pair);
    assert!(said.contains("tls.key") && said.contains("KeyMismatch"), "{said}");
    fs::copy(&authority.issue("c")[0], certificate).expect("a copy");
    let said = refusal(&pair);
    assert!(said.contains("tls.certificate") && said.contains("b.demo") && said.contains("c.demo"), "{said}");
    trust(&pair.b, &[&Authority::new(PAIR)]);
    certify(&pair.b, &authority);
    let said = refusal(&pair);
    assert!(said.contains("tls.certificate") && said.contains("none of the trusted authorities"), "{said}");
}
