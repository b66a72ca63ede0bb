//! Catalogs are made at once or not at all, and only whole ones of this pair are served.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use kudu_pair::{
    launcher::{catalog, protocol::Request},
    waldir::tablet_wal_dir,
};

use crate::harness::*;

#[tokio::test]
async fn a_formatted_catalog_has_the_uuid_asked_for_and_is_formatted_once() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    let begin = Instant::now();
    client.call(format_request("gen-1")).await.unwrap();
    println!("format: {:?}", begin.elapsed());
    assert_eq!(place.on_volumes(), ["data/gen-1", "wal/gen-1"]);
    assert!(refused(client.call(format_request("gen-1")).await).contains("exists already"));

    client.call(start_request(1, "gen-1", FAR)).await.unwrap();
    place.wait_until_serving();
    let masters = kudu(&["master", "list", &place.rpc(), "--columns=uuid,role", "--format=csv"]).unwrap();
    assert_eq!(masters.trim(), format!("{UUID},LEADER"));
}

#[tokio::test]
async fn a_generation_without_a_catalog_is_not_served_as_an_empty_one() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    assert!(refused(client.call(start_request(1, "gen-9", FAR)).await).contains("has no catalog"));
    assert!(refused(client.call(start_request(1, "../gen-9", FAR)).await).contains("not the name of a generation"));

    client.call(format_request("gen-1")).await.unwrap();
    fs::remove_dir_all(place.path("data").join("gen-1")).unwrap();
    assert!(refused(client.call(start_request(1, "gen-1", FAR)).await).contains("has no catalog"));
    assert_eq!(place.on_volumes(), ["wal/gen-1"]);
}

#[tokio::test]
async fn a_base_is_copied_from_a_live_master_and_serves() {
    let (active, standby) = (Place::new(), Place::new());
    let (launcher, other) = (active.launch().await, standby.launch().await);
    active.serve(&launcher, FAR).await;
    let mut client = other.client().await;
    let begin = Instant::now();
    client.call(copy_request("gen-1", &active.rpc())).await.unwrap();
    println!("base copy of an empty catalog: {:?}", begin.elapsed());
    assert_eq!(standby.on_volumes(), ["data/gen-1", "wal/gen-1"]);
    assert!(refused(client.call(copy_request("gen-1", &active.rpc())).await).contains("exists already"));

    launcher.client().await.call(Request::Stop).await.unwrap();
    let begin = Instant::now();
    client.call(Request::SetTerm { generation: "gen-1".into(), term: 41 }).await.unwrap();
    println!("set_term: {:?}", begin.elapsed());
    let begin = Instant::now();
    client.call(Request::SetTerm { generation: "gen-1".into(), term: 40 }).await.unwrap();
    println!("set_term that has nothing to do: {:?}", begin.elapsed());
    let wal = standby.path("wal").join("gen-1");
    assert_eq!(catalog::consensus(&wal).unwrap().term, 41);
    assert_eq!(fs::read_dir(wal.join("consensus-meta")).unwrap().count(), 1, "no backups are left");

    let begin = Instant::now();
    client.call(start_request(2, "gen-1", FAR)).await.unwrap();
    standby.wait_until_serving();
    println!("start on the copy to a client's table list: {:?}", begin.elapsed());
    assert_eq!(catalog::consensus(&wal).unwrap().term, 42);
    let set_term = Request::SetTerm { generation: "gen-1".into(), term: 99 };
    assert!(refused(client.call(set_term).await).contains("stop it first"));
}

/// A file of the source that is larger than what Kudu's throttle gives out at once.
#[tokio::test]
async fn a_long_log_is_copied_under_a_limit() {
    let (active, standby) = (Place::new(), Place::new());
    let (launcher, other) = (active.launch().await, standby.launch().await);
    active.serve(&launcher, FAR).await;
    // Rows of some 55 kB, below Kudu's 64, which do not compress: what nobody serves is recorded all the same.
    let columns: Vec<_> = (0..200)
        .map(|number| {
            let (name, comment) =
                (format!("column_{number}"), (0..250).map(|_| fastrand::alphanumeric()).collect::<String>());
            serde_json::json!({ "column_name": name, "column_type": "INT32", "comment": comment })
        })
        .collect();
    for number in 0..90 {
        let table = serde_json::json!({
            "table_name": format!("wide_{number}"),
            "schema": { "columns": columns, "key_column_names": ["column_0"] },
            "partition": { "hash_partitions": [{ "columns": ["column_0"], "num_buckets": 2 }] },
            "num_replicas": 1,
        });
        // Nobody serves its tablets, so the tool waits in vain.
        let hurry = ["--negotiation_timeout_ms=250", "--timeout_ms=250"];
        let _ = kudu(&[&["table", "create", &active.rpc(), &table.to_string()][..], &hurry].concat());
    }
    for (generation, mebibytes) in [("gen-1", 32), ("gen-2", 8)] {
        let copy = Request::CopyBase {
            generation: generation.into(),
            uuid: UUID.to_owned(),
            from: active.rpc(),
            bytes_per_second: Some(mebibytes << 20),
        };
        let begin = Instant::now();
        other.client().await.call(copy).await.unwrap();
        println!("copied at {mebibytes} MiB/s within {:?}", begin.elapsed());
    }
    let log = tablet_wal_dir(&standby.path("wal").join("gen-1"), None);
    let bytes: u64 = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes > 4 << 20, "{bytes} bytes are no long log");
}

#[tokio::test]
async fn a_base_of_another_pair_is_refused_and_leaves_nothing() {
    let (active, standby) = (Place::new(), Place::new());
    let (launcher, other) = (active.launch().await, standby.launch().await);
    active.serve(&launcher, FAR).await;
    let stranger = "f".repeat(32);
    let copy =
        Request::CopyBase { generation: "gen-1".into(), uuid: stranger, from: active.rpc(), bytes_per_second: None };
    assert!(refused(other.client().await.call(copy).await).contains("not of this pair"));
    assert_eq!(standby.on_volumes(), [""; 0]);
}

#[tokio::test]
async fn a_copy_from_nowhere_fails_and_leaves_nothing() {
    let place = Place::new();
    let launcher = place.launch().await;
    let nowhere = place.rpc();
    let message = refused(launcher.client().await.call(copy_request("gen-1", &nowhere)).await);
    assert!(message.contains("Connection refused"), "{message}");
    assert_eq!(place.on_volumes(), [""; 0]);
}

#[tokio::test]
async fn a_copy_whose_sidecar_dies_or_whose_launcher_dies_leaves_nothing() {
    let place = Place::new();
    let mut launcher = place.launch().await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let from = silent.local_addr().unwrap().to_string();
    let begun = ["data/gen-1.partial", "wal/gen-1.partial"];

    let mut client = launcher.client().await;
    client.call_within(copy_request("gen-1", &from), Duration::from_secs(1)).await.unwrap_err();
    drop(client);
    let begin = Instant::now();
    while !place.on_volumes().is_empty() {
        assert!(begin.elapsed() < PATIENCE, "what was begun stays: {:?}", place.on_volumes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("sidecar gone: copy cancelled and removed within {:?}", begin.elapsed());

    let mut client = launcher.client().await;
    let interrupted = tokio::spawn(async move { client.call(copy_request("gen-1", &from)).await });
    let begin = Instant::now();
    while place.on_volumes() != begun {
        assert!(begin.elapsed() < PATIENCE, "no copy begins: {:?}", place.on_volumes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    launcher.crash();
    interrupted.await.unwrap().unwrap_err();
    let _launcher = place.launch().await;
    assert_eq!(place.on_volumes(), [""; 0]);
}

#[tokio::test]
async fn an_encrypted_catalog_is_refused() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.unwrap();
    let folder = |volume: &str, name| place.path(volume).join(name).display().to_string();
    kudu(&[
        "fs",
        "format",
        &format!("--fs_wal_dir={}", folder("wal", "gen-2")),
        &format!("--fs_data_dirs={}", folder("data", "gen-2")),
        "--encrypt_data_at_rest",
        "--unlock_experimental_flags",
        "--unlock_unsafe_flags",
    ])
    .unwrap();
    let message = refused(client.call(start_request(1, "gen-2", FAR)).await);
    assert!(message.contains("encrypted at rest, which is not supported"), "{message}");
    let message = refused(client.call(Request::SetTerm { generation: "gen-2".into(), term: 3 }).await);
    assert!(message.contains("encrypted at rest, which is not supported"), "{message}");
}
