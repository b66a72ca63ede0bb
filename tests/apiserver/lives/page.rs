//! The page of two real controllers: both show the pair, only one leads, and nobody can ask for more than to see it.

use std::time::Duration;

use kudu_pair::api::names::SWITCHOVER_ANNOTATION;
use serde_json::{Value, json};

use super::{door::Trouble, world::World};
use crate::{
    chart, make_namespace,
    page::{ask, shown, until_shown},
    server, server_with_pairs,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_controller_shows_its_pairs_and_the_leader_what_it_heard() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, "operator").await;
    chart::install(&admin, &server::programs().expect("the server runs"), "kudu-pair", "operator", &[]).await;
    let world = World::begin(&server, ("operator", "kudu-pair"), "page", Trouble::None).await;
    let pages = [0, 1].map(|number| world.replicas.page(number));
    until_shown(pages[0], "that there is no pair", |view| view["warnings"] == json!([])).await;

    world.make(json!({})).await;
    world.until_running().await;
    for page in pages {
        let runs =
            |view: &Value| view["pairs"][0]["phase"]["text"] == "Running" && view["pairs"][0]["active"] == "demo-0";
        let view = until_shown(page, "a pair that runs", runs).await;
        assert_eq!(view["pairs"][0]["members"][1]["state"]["text"], "Streaming", "{view:#}");
    }
    let mut leaders = 0;
    for page in pages {
        leaders += usize::from(shown(page).await.is_some_and(|view| view["leads"] == true));
    }
    assert_eq!(leaders, 1, "one leads");

    world.annotate(SWITCHOVER_ANNOTATION, "any").await;
    for page in pages {
        let switched = |view: &Value| view["pairs"][0]["switches"][0]["route"] == "demo-0 → demo-1";
        let view = until_shown(page, "the switch", switched).await;
        assert_eq!(view["pairs"][0]["switches"][0]["lost"]["text"], "no operation lost", "{view:#}");
    }
    world.until_running().await;

    // The leader is lost: the other page goes on, and says so when it leads.
    let view = shown(pages[0]).await.expect("an answer");
    let lost = usize::from(view["leads"] != true);
    world.replicas.kill(lost);
    assert!(shown(pages[lost]).await.is_none(), "nobody serves it");
    until_shown(pages[1 - lost], "that it leads", |view| view["leads"] == true && view["pairs"][0]["name"] == "demo")
        .await;

    let page = pages[1 - lost];
    for (method, path, host, code) in [
        ("GET", "/", "localhost:8063", "200"),
        ("HEAD", "/page.js", "127.0.0.1", "200"),
        ("GET", "/pairs.json", "[::1]:8063", "200"),
        ("POST", "/pairs.json", "localhost", "405"),
        ("DELETE", "/", "localhost", "405"),
        ("GET", "/other", "localhost", "404"),
        ("GET", "/pairs.json", "rebound.example:8063", "421"),
        ("GET", "/pairs.json", "", "421"),
    ] {
        let (head, body) = ask(page, method, path, host).await.expect("an answer");
        let question = format!("{method} {path} of {host:?}");
        assert!(head.starts_with(&format!("http/1.0 {code}")), "{question}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{question}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{question}: {head}");
        assert!(code == "200" || !body.contains("demo"), "{question} tells of a pair: {body}");
    }

    // Without the API server it says how old all of that is.
    server.freeze();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let old = |view: &Value| {
        view["warnings"][0].as_str().is_some_and(|text| text.contains("has not reached the API server for"))
    };
    until_shown(page, "that it is old", old).await;
    server.thaw();
    until_shown(page, "that it is not", |view| view["warnings"] == json!([])).await;
    world.end(false);
}
