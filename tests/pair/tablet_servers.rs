//! Tables of three replicas on three tablet servers: these are back with a new master before a client is shown an error.

use crate::{
    kudu,
    long_lived::LongLived,
    pair::{Pair, is_streaming, wait_until_equal},
    switchover::switch,
};

#[test]
fn three_tablet_servers_are_back_before_a_client_is_shown_an_error() {
    let mut pair = Pair::running();
    pair.add_tablet_server();
    pair.add_tablet_server();
    let address = pair.client.address.to_string();
    kudu::wait_for("three tablet servers", || {
        let listed = kudu::try_kudu(["tserver", "list", &address, "--format=csv"]);
        listed.status.success() && String::from_utf8_lossy(&listed.stdout).lines().count() >= 3
    });
    let client = LongLived::start_with(&pair.client, &["--replicas=3"]);

    pair.a.crash_master();
    println!("kudu-master killed, longest operation: {:?}", client.goes_on());
    pair.b.wait_until("b streams", is_streaming);
    switch(&pair, &pair.a, &pair.b);
    println!("switched, longest operation: {:?}", client.goes_on());
    switch(&pair, &pair.b, &pair.a);
    println!("switched back, longest operation: {:?}", client.goes_on());

    let errors = client.errors();
    assert!(errors.is_empty(), "the client was shown {errors:?}");
    client.stop_and_verify();
    wait_until_equal(&pair.a, &pair.b);
    kudu::kudu(["cluster", "ksck", &address]);
    pair.check();
}
