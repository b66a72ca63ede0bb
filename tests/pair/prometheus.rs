//! A real Prometheus as a process, and what it is asked.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{apiserver::free_port, kudu, words::alerts_file};

/// The program; none where it is not installed, which is an error under `CI`.
pub(crate) fn program() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/bin/prometheus");
    if program.exists() {
        return Some(program);
    }
    let why = "no prometheus; run tests/alerts/packages";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// It scrapes once a second and looks at the project's alerts as often; each waits for a second instead of its own time.
pub(crate) struct Prometheus {
    program: PathBuf,
    port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that is not started yet, for this controller and these sidecars.
    pub(crate) fn new(program: PathBuf, controller: &str, sidecars: &[String], namespace: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s" },
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {
                    "job_name": "controllers", "honor_labels": true,
                    "static_configs": [{ "targets": [controller] }]
                },
                {
                    "job_name": "members",
                    "static_configs": [{ "targets": sidecars, "labels": { "namespace": namespace } }]
                },
            ],
        });
        // JSON is YAML.
        fs::write(folder.path().join("prometheus.yaml"), config.to_string()).expect("a configuration");
        let rules = fs::read_to_string(alerts_file()).expect("the alerts");
        let at_once = |line: &str| match line.trim_start().starts_with("for: ") {
            true => format!("{}for: 1s\n", " ".repeat(line.len() - line.trim_start().len())),
            false => format!("{line}\n"),
        };
        let rules: String = rules.lines().map(at_once).collect();
        fs::write(folder.path().join("alerts.yaml"), rules).expect("the alerts");
        Self { program, port: free_port(), process: None, folder }
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .arg(format!("--config.file={}", self.folder.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .expect("setpriv and prometheus");
        self.process = Some(process);
        kudu::wait_for("an answer of Prometheus", || self.get("/-/ready").is_some());
    }

    /// What a query answers now; it has to be a good one.
    pub(crate) fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(query))).expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Whether there ever was a sample of this name.
    pub(crate) fn has_seen(&self, name: &str) -> bool {
        !self.query(&format!("count_over_time({name}[1h])")).is_empty()
    }

    /// The alerts that are pending or firing, with which of the two.
    pub(crate) fn alerts(&self) -> Vec<(String, String)> {
        let answer = self.get("/api/v1/alerts").expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let alerts = answer["data"]["alerts"].as_array().expect("alerts");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        alerts.iter().map(|alert| (word(&alert["labels"]["alertname"]), word(&alert["state"]))).collect()
    }

    /// The body of a good answer.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // Of this version no answer comes in chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?;
        // A query that is wrong is answered with words.
        ["200", "400", "422"].contains(&status).then(|| body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may be gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            println!("---- Prometheus, the last lines ----");
            lines.iter().skip(lines.len().saturating_sub(20)).for_each(|line| println!("{line}"));
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
