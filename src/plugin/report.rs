//! `report`: what somebody needs who is to find a bug, without what is nobody's business.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::LogParams};
use serde::Serialize;
use serde_json::Value;

use super::{
    Plugin,
    ask::tell,
    cluster::Cluster,
    exit::Exit,
    explain,
    logs::{self, Reigns, Source},
    look::Look,
    redact::{self, Redactor},
    status,
    style::Style,
    tar,
};
use crate::api::names::{MASTER_CONTAINER, REPLICATION_CONTAINER};

/// Of each container at most so many lines.
const LINES: i64 = 5000;

/// Write what a bug report needs into one file, with addresses, nodes, registries, variables and secrets taken out.
///
/// It holds the pair, its Lease, pods, StatefulSet, Services, volume claims and events, `status` and `explain` as they are now, and the logs of
/// the containers `replication` and of the controllers. Secrets are never read. Addresses and nodes become ip-1 and node-1, the same
/// everywhere. The names of pair and namespace stay, and so may names of tables in logs and events: look through it before you
/// give it away.
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The pair.
    pair: Option<String>,
    /// Where to write it; `-` is the standard output. Default: kudupair-report-PAIR-TIME.tar.gz here.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave all logs out.
    #[arg(long)]
    no_logs: bool,
    /// With the logs of kudu-master, which name tables.
    #[arg(long, conflicts_with = "no_logs")]
    kudu_logs: bool,
}

/// What is printed about it.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    files: Vec<String>,
    missing: Vec<String>,
}

/// The files of a report.
#[derive(Default)]
struct Bundle {
    redactor: Redactor,
    files: Vec<(String, String)>,
    missing: Vec<String>,
}

impl Bundle {
    /// Objects as YAML, or why they are not there.
    fn objects(&mut self, name: &str, objects: anyhow::Result<Vec<Value>>) -> anyhow::Result<()> {
        match objects {
            Err(error) => self.missing.push(format!("{name}: {error:#}")),
            Ok(mut objects) => {
                objects.iter_mut().for_each(|object| self.redactor.object(object));
                let text: Result<Vec<_>, _> = objects.iter().map(serde_yaml::to_string).collect();
                self.files.push((format!("{name}.yaml"), text?.join("---\n")));
            }
        }
        Ok(())
    }

    fn text(&mut self, name: &str, text: &str) {
        let text = self.redactor.text(text);
        self.files.push((name.to_owned(), text));
    }

    fn log(&mut self, name: &str, log: anyhow::Result<String>) {
        match log {
            Ok(log) => self.text(&format!("{name}.log"), &log),
            Err(error) => self.missing.push(format!("{name}: {error:#}")),
        }
    }

    fn archive(&self, folder: &str, now: Timestamp) -> io::Result<Vec<u8>> {
        let files: Vec<_> = self.files.iter().map(|(name, text)| (format!("{folder}/{name}"), text.as_str())).collect();
        let files = files.iter().map(|(name, text)| (name.as_str(), *text));
        let archive = tar::archive(files, u64::try_from(now.as_second()).unwrap_or_default());
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&archive)?;
        packed.finish()
    }
}

impl Plugin {
    pub(super) async fn report(&self, cluster: &Cluster, args: &ReportArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let name = look.name();
        let folder = format!("kudupair-report-{name}-{}", look.now.strftime("%Y%m%dT%H%M%SZ"));
        let (pods, controllers) = tokio::join!(cluster.pods(&name), cluster.controllers());
        let mut bundle = Bundle::default();
        for pod in pods.iter().chain(&controllers).flatten() {
            for node in nodes(pod) {
                bundle.redactor.node(&node);
            }
        }
        let version = cluster.version().await.unwrap_or_else(|error| format!("unknown: {error:#}"));
        bundle.text("versions.txt", &format!("kubectl-kudupair {}\nKubernetes {version}\n", env!("CARGO_PKG_VERSION")));
        let look = Look { pair: redact::without_changes(look.pair), ..look };
        bundle.text("status.txt", &status::text(&look, Style::PLAIN));
        bundle.text("explain.txt", &explain::explain(&look).text(Style::PLAIN));
        bundle.objects("pair", Ok(vec![serde_json::to_value(&look.pair)?]))?;
        bundle.objects("lease", Ok(look.lease.iter().map(serde_json::to_value).collect::<Result<_, _>>()?))?;
        let log_sources = (members(&pods), controllers.as_ref().map(|all| all.to_vec()).unwrap_or_default());
        bundle.objects("pods", to_values(pods))?;
        bundle.objects("controllers", to_values(controllers))?;
        for (kind, objects) in cluster.objects_of(&name).await {
            bundle.objects(kind, objects)?;
        }
        if !args.no_logs {
            let reigns = Reigns::of(&look.status());
            let containers: &[&str] =
                if args.kudu_logs { &[REPLICATION_CONTAINER, MASTER_CONTAINER] } else { &[REPLICATION_CONTAINER] };
            self.logs_into(cluster, &mut bundle, &log_sources, containers, &reigns).await;
        }
        let missing = bundle.missing.join("\n");
        if !missing.is_empty() {
            bundle.text("missing.txt", &missing);
        }
        let archive = bundle.archive(&folder, look.now)?;
        let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
        if file.as_os_str() == "-" {
            let mut out = io::stdout().lock();
            out.write_all(&archive)?;
            out.flush()?;
            return Ok(Exit::Done);
        }
        let write = || File::create(&file)?.write_all(&archive);
        write().with_context(|| format!("cannot write {}; name another place with --file", file.display()))?;
        let files: Vec<_> = bundle.files.iter().map(|(name, _)| name.clone()).collect();
        let written = Written { file: file.display().to_string(), files, missing: bundle.missing };
        self.print(&written, |_| {
            let missing: String = written.missing.iter().map(|missing| format!("  not there: {missing}\n")).collect();
            format!(
                "{}: {} files\n{missing}Look through it before you give it away: names of tables may be in logs and events.\n",
                written.file,
                written.files.len()
            )
        })?;
        Ok(Exit::Done)
    }

    async fn logs_into(
        &self,
        cluster: &Cluster,
        bundle: &mut Bundle,
        (members, controllers): &(Vec<String>, Vec<Pod>),
        containers: &[&str],
        reigns: &Reigns,
    ) {
        let sources = members.iter().flat_map(|member| {
            containers.iter().map(|container| Source { member: member.clone(), container: (*container).to_owned() })
        });
        let sources: Vec<_> = sources.collect();
        let params = LogParams { timestamps: true, tail_lines: Some(LINES), ..LogParams::default() };
        tell(&format!("reading {} logs", sources.len() + controllers.len()));
        let read = join_all(sources.iter().map(|source| cluster.log(source, &params))).await;
        let mut lines = Vec::new();
        for (source, log) in sources.iter().zip(read) {
            match log {
                Ok(log) => lines.push(logs::lines(&log, source, reigns)),
                Err(error) => bundle.missing.push(format!("{error:#}")),
            }
        }
        let merged: String = logs::merge(lines).iter().map(|line| logs::text(line, Style::PLAIN)).collect();
        bundle.text("members.log", &merged);
        for pod in controllers {
            let log = cluster.controller_log(pod, &params).await;
            bundle.log(&format!("controller-{}", pod.name_any()), log);
        }
    }
}

fn members(pods: &anyhow::Result<Vec<Pod>>) -> Vec<String> {
    pods.iter().flatten().map(|pod| pod.name_any()).collect()
}

fn to_values(pods: anyhow::Result<Vec<Pod>>) -> anyhow::Result<Vec<Value>> {
    Ok(pods?.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

/// The names of the node that a pod runs on.
fn nodes(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone()).into_iter().collect()
}
