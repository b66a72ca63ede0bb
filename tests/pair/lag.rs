//! How far a standby is behind is measured by its active, and a stalled stream is never shown as being up to date.

use kudu_pair::failover::member::{LagReport, MemberReport};

use crate::pair::{Pair, is_streaming, wait_until_equal};

fn lag(report: &MemberReport) -> Option<LagReport> {
    report.standbys.first()?.lag
}

fn has_everything(report: &MemberReport) -> bool {
    lag(report).is_some_and(|lag| {
        (lag.ops, lag.bytes, lag.milliseconds) == (Some(0), Some(0), Some(0)) && lag.sample_milliseconds_ago < 1500
    })
}

#[test]
fn a_standby_that_stalls_is_behind_or_unknown_and_never_up_to_date() {
    let pair = Pair::running();
    pair.client.create_table("before", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.a.wait_until("b is up to date while nothing happens", has_everything);

    pair.b.freeze_sidecar();
    let idle = pair.a.wait_until("it is not known how far b is", |report| !has_everything(report));
    println!("stalled with nothing to send: {:?}", lag(&idle));
    assert_eq!(lag(&idle).map(|lag| lag.ops), Some(None));

    pair.client.create_table("meanwhile", 2);
    let behind = pair.a.wait_until("b is behind", |report| lag(report).is_some_and(|lag| lag.ops > Some(0)));
    let lag_then = lag(&behind).expect("a lag");
    println!("stalled with something to send: {lag_then:?}");
    assert!(lag_then.bytes > Some(0) && lag_then.milliseconds.is_some() && lag_then.sample_milliseconds_ago > 1500);

    pair.b.wake_sidecar();
    wait_until_equal(&pair.a, &pair.b);
    pair.b.wait_until("b streams", is_streaming);
    pair.a.wait_until("b is up to date again", has_everything);
    pair.check();
}
