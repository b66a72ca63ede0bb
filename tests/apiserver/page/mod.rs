//! The controller's page: what a real controller on a real API server says on it, and how it is in a real browser.

mod browser;
mod pairs;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server;

/// What `address` answers to one question: head and body.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let question = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(question.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_ascii_lowercase(), body.to_owned()))
}

/// What the page shows now; none while nobody answers.
pub(crate) async fn shown(address: SocketAddr) -> Option<Value> {
    let (_, body) = ask(address, "GET", "/pairs.json", "localhost:8063").await?;
    serde_json::from_str(&body).ok()
}

/// Waits until the page shows that.
pub(crate) async fn until_shown(address: SocketAddr, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = None;
    for _ in 0..600 {
        last = shown(address).await;
        if let Some(view) = last.as_ref().filter(|view| is(view)) {
            return view.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the page never shows {what}: {last:#?}")
}

/// A controller as a process, which ends with this value.
struct Controller {
    process: Child,
}

impl Controller {
    fn start(kubeconfig: &Path, lead: &str, page: SocketAddr) -> Self {
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_kudu-pair"), "controller"])
            .args(["--leader-namespace", lead, "--identity", "kudu-pair-6f7c9d5b8-x2k4q"])
            .args(["--operator-image", "kudu-pair:test", "--page-listen", &page.to_string()])
            .args(["--health-listen", &format!("127.0.0.1:{}", server::free_port())])
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "error,kudu_pair::controller::reconcile=off,kudu_pair::controller::act=off")
            .stdin(Stdio::null())
            .spawn()
            .expect("setpriv and the controller");
        Self { process }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
