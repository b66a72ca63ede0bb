//! `logs`: what all containers of all members logged, in one order, with what each member was at that time.

use std::{
    collections::HashSet,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args;
use futures::{AsyncBufReadExt as _, StreamExt as _, future::join_all};
use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt as _, api::LogParams};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    Output, Plugin,
    ask::tell,
    cluster::Cluster,
    exit::Exit,
    style::{Style, Tone},
};
use crate::api::{
    PairStatus,
    names::{MASTER_CONTAINER, REPLICATION_CONTAINER},
};

/// Lines that were written at one time come from different nodes in any order; so long the first ones wait for the others.
const REORDER: Duration = Duration::from_millis(500);
/// Pause before a log that ended is opened again: its container was restarted, or its pod made anew.
const AGAIN: Duration = Duration::from_secs(1);
/// Lines that wait to be printed.
const BACKLOG: usize = 4096;

/// Show the logs of all members, merged by time.
///
/// Both containers of each member: `kudu-master` (Kudu and its launcher) and `replication` (the sidecar). Before each line stands what
/// the member was at that time, as the receipts of the last ten switches tell: `active/4` served in epoch 4. Clocks of nodes
/// differ, so lines of different nodes can be out of order by as much.
#[derive(Args, Debug)]
pub(super) struct LogsArgs {
    /// The pair.
    pair: Option<String>,
    /// Only of this member; may be given more than once.
    #[arg(short, long, value_name = "MEMBER")]
    member: Vec<String>,
    /// Only of this container.
    #[arg(short, long, value_parser = [MASTER_CONTAINER, REPLICATION_CONTAINER])]
    container: Option<String>,
    /// Only what is no older than this, as in 90s, 10m or 2h.
    #[arg(long, value_name = "TIME", value_parser = age)]
    since: Option<SignedDuration>,
    /// Of each container the last lines only.
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    tail: Option<i64>,
    /// Of the containers before their last restart.
    #[arg(short, long, conflicts_with = "follow")]
    previous: bool,
    /// Go on, until interrupted.
    #[arg(short, long)]
    follow: bool,
}

/// An age, which is longer than nothing.
fn age(text: &str) -> Result<SignedDuration, String> {
    let age: SignedDuration = text.parse().map_err(|_| "write a number and a unit, as in 90s, 10m or 2h".to_owned())?;
    if age.as_secs() < 1 { Err("at least one second, as in 90s, 10m or 2h".to_owned()) } else { Ok(age) }
}

/// Where a line comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) member: String,
    pub(super) container: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) member: String,
    pub(super) container: String,
    /// What the member was at that time.
    pub(super) role: String,
    pub(super) text: String,
}

/// Who served when.
#[derive(Debug, Clone)]
pub(super) struct Reigns(Vec<(Timestamp, i64, String)>);

impl Reigns {
    /// As the receipts tell, which are the newest first.
    pub(super) fn of(status: &PairStatus) -> Self {
        let begun = status.switches.iter().map(|receipt| (receipt.finished_at.0, receipt.epoch, receipt.to.clone()));
        Self(begun.collect())
    }

    /// `active/4`, `standby/4`, or `-` before the oldest receipt.
    fn role(&self, at: Timestamp, member: &str) -> String {
        let reign = self.0.iter().find(|(begun, ..)| *begun <= at);
        reign.map_or_else(
            || "-".to_owned(),
            |(_, epoch, active)| format!("{}/{epoch}", if active == member { "active" } else { "standby" }),
        )
    }
}

/// Reads one line as the API server gives it, its time before it. One without belongs to the line before.
pub(super) fn line(raw: &str, source: &Source, before: Option<Timestamp>, reigns: &Reigns) -> Line {
    let timed = raw.split_once(' ').and_then(|(at, text)| Some((at.parse::<Timestamp>().ok()?, text)));
    let (at, text) = timed.unwrap_or((before.unwrap_or(Timestamp::UNIX_EPOCH), raw));
    Line {
        at,
        member: source.member.clone(),
        container: source.container.clone(),
        role: reigns.role(at, &source.member),
        text: text.to_owned(),
    }
}

/// All lines of one log.
pub(super) fn lines(raw: &str, source: &Source, reigns: &Reigns) -> Vec<Line> {
    let mut before = None;
    raw.lines()
        .map(|raw| {
            let line = line(raw, source, before, reigns);
            before = Some(line.at);
            line
        })
        .collect()
}

/// By time; lines of one container stay in their order.
pub(super) fn merge(logs: Vec<Vec<Line>>) -> Vec<Line> {
    let mut all: Vec<_> = logs.into_iter().flatten().collect();
    all.sort_by_key(|line| line.at);
    all
}

/// For people.
pub(super) fn text(line: &Line, style: Style) -> String {
    let tone = if line.role.starts_with("active") { Tone::Good } else { Tone::Quiet };
    format!(
        "{} {} {} {:<11} {}\n",
        style.paint(Tone::Quiet, &format!("{:.3}", line.at)),
        style.paint(Tone::Strong, &line.member),
        style.paint(tone, &format!("{:<10}", line.role)),
        line.container,
        line.text
    )
}

impl Plugin {
    pub(super) async fn logs(&self, cluster: &Cluster, args: &LogsArgs) -> anyhow::Result<Exit> {
        if self.output == Some(Output::Yaml) {
            bail!("logs come as text or, with -o json, as one JSON object a line");
        }
        let pair = cluster.pair(args.pair.as_deref()).await?;
        let reigns = Reigns::of(&pair.status.clone().unwrap_or_default());
        let pods = cluster.pods(&pair.name_any()).await?;
        let known: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
        if let Some(stranger) = args.member.iter().find(|member| !known.contains(member)) {
            bail!("there is no pod {stranger:?} of this pair; name one of {}", known.join(", "));
        }
        let members = known.into_iter().filter(|member| args.member.is_empty() || args.member.contains(member));
        let containers = [MASTER_CONTAINER, REPLICATION_CONTAINER].into_iter();
        let containers: Vec<_> =
            containers.filter(|name| args.container.as_deref().is_none_or(|only| only == *name)).collect();
        let sources: Vec<_> = members
            .flat_map(|member| containers.iter().map(move |name| (member.clone(), (*name).to_owned())))
            .map(|(member, container)| Source { member, container })
            .collect();
        if sources.is_empty() {
            bail!("the pair has no pods; see: kubectl kudupair status -n {} {}", cluster.namespace, pair.name_any());
        }
        let params = LogParams {
            timestamps: true,
            previous: args.previous,
            since_seconds: args.since.map(|age| age.as_secs()),
            tail_lines: args.tail,
            ..LogParams::default()
        };
        if args.follow {
            self.follow(cluster, sources, params, reigns).await
        } else {
            self.read(cluster, &sources, &params, &reigns).await
        }
    }

    fn print_lines(&self, lines: &[Line]) -> anyhow::Result<()> {
        let style = Style::of_stdout();
        let mut out = io::stdout().lock();
        for line in lines {
            match self.output {
                None => out.write_all(text(line, style).as_bytes())?,
                Some(_) => writeln!(out, "{}", serde_json::to_string(line)?)?,
            }
        }
        Ok(out.flush()?)
    }

    async fn read(
        &self,
        cluster: &Cluster,
        sources: &[Source],
        params: &LogParams,
        reigns: &Reigns,
    ) -> anyhow::Result<Exit> {
        let all = join_all(sources.iter().map(|source| cluster.log(source, params))).await;
        let mut read = Vec::new();
        let mut missing = Vec::new();
        for (source, log) in sources.iter().zip(all) {
            match log {
                Ok(log) => read.push(lines(&log, source, reigns)),
                Err(error) => missing.push(format!("{error:#}")),
            }
        }
        if read.is_empty() {
            bail!("{}", missing.join("\n"));
        }
        missing.iter().for_each(|missing| tell(missing));
        let lines = merge(read);
        if lines.is_empty() {
            tell("nothing was logged, or nothing of what was asked for");
        }
        self.print_lines(&lines)?;
        Ok(Exit::Done)
    }

    /// Until interrupted.
    async fn follow(
        &self,
        cluster: &Cluster,
        sources: Vec<Source>,
        params: LogParams,
        reigns: Reigns,
    ) -> anyhow::Result<Exit> {
        let (send, mut receive) = mpsc::channel(BACKLOG);
        let readers = sources.iter().map(|source| follow_one(cluster, source, params.clone(), &reigns, send.clone()));
        let readers = join_all(readers);
        let print = async {
            let mut waiting: Vec<(Instant, Line)> = Vec::new();
            let mut every = tokio::time::interval(REORDER / 2);
            loop {
                tokio::select! {
                    line = receive.recv() => waiting.extend(line.map(|line| (Instant::now(), line))),
                    _ = every.tick() => {
                        waiting.sort_by_key(|(_, line)| line.at);
                        let ripe = waiting.iter().rposition(|(arrived, _)| arrived.elapsed() >= REORDER).map_or(0, |last| last + 1);
                        let ripe: Vec<_> = waiting.drain(..ripe).map(|(_, line)| line).collect();
                        self.print_lines(&ripe)?;
                    }
                }
            }
        };
        tokio::select! {
            _ = readers => Ok(Exit::Done),
            printed = print => printed,
        }
    }
}

/// Sends the lines of one container, and of its successors.
async fn follow_one(
    cluster: &Cluster,
    source: &Source,
    mut params: LogParams,
    reigns: &Reigns,
    send: mpsc::Sender<Line>,
) {
    params.follow = true;
    let mut last: Option<Timestamp> = None;
    let mut told: HashSet<String> = HashSet::new();
    loop {
        match cluster.log_stream(source, &params).await {
            Ok(stream) => {
                let mut lines = Box::pin(stream.lines());
                // The API server gives whole seconds, so the last ones come again.
                let seen = last;
                while let Some(Ok(raw)) = lines.next().await {
                    let line = line(&raw, source, last, reigns);
                    if seen.is_some_and(|seen| line.at <= seen) {
                        continue;
                    }
                    last = Some(line.at);
                    if send.send(line).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                if told.insert(error.clone()) {
                    tell(&format!("{error}; trying again"));
                }
            }
        }
        if let Some(last) = last {
            (params.since_time, params.since_seconds, params.tail_lines) = (Some(last), None, None);
        }
        tokio::time::sleep(AGAIN).await;
    }
}
