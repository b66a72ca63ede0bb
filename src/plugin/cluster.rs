//! Reads and writes at the API server. Everything that the plugin knows and does goes through here.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        authentication::v1::SelfSubjectReview,
        coordination::v1::Lease,
        core::v1::{Event, PersistentVolumeClaim, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Status,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{AttachParams, ListParams, LogParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    logs::Source,
    look::{CONTROLLERS, Look},
};
use crate::api::{KuduMasterPair, names};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// Where `--help` lists the options of every command.
pub(super) const HEADING: &str = "Options of every command";
/// The exit status of a program that ended in a way that nobody told.
const UNKNOWN_STATUS: i32 = 255;
/// Whose changes they are, in the objects' managed fields.
const MANAGER: &str = "kubectl-kudupair";

/// Which API server, and which namespace.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Reach {
    /// The pair's namespace. Default: that of the context.
    #[arg(short, long, global = true, value_name = "NAME", help_heading = HEADING)]
    namespace: Option<String>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    context: Option<String>,
    /// The kubeconfig to use. Default: `KUBECONFIG`, then `~/.kube/config`, then the pod's own ServiceAccount.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    kubeconfig: Option<PathBuf>,
}

impl Reach {
    /// With the options among the words of a command line that is being typed.
    pub(super) fn typed(&self, words: &[String]) -> Self {
        let mut reach = self.clone();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let mut value = || value.clone().or_else(|| words.next().cloned());
            match name {
                "-n" | "--namespace" => reach.namespace = value(),
                "--context" => reach.context = value(),
                "--kubeconfig" => reach.kubeconfig = value().map(PathBuf::from),
                _ => {}
            }
        }
        reach
    }
}

/// A connection, and the namespace that is meant.
pub(crate) struct Cluster {
    client: Client,
    server: String,
    /// The namespace.
    pub(crate) namespace: String,
}

impl Cluster {
    /// Reads the configuration; nothing is asked yet.
    pub(crate) async fn reach(reach: &Reach) -> anyhow::Result<Self> {
        let options = KubeConfigOptions { context: reach.context.clone(), ..Default::default() };
        let mut config = match &reach.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path)
                    .with_context(|| format!("cannot use {}; name another file with --kubeconfig", path.display()))?;
                Config::from_custom_kubeconfig(file, &options).await.with_context(|| {
                    format!("cannot use {}; `kubectl config get-contexts` lists its contexts", path.display())
                })?
            }
            None if reach.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .context("cannot use this context; `kubectl config get-contexts` lists all")?,
            None => Config::infer()
                .await
                .context("there is no kubeconfig that can be used; set KUBECONFIG or name one with --kubeconfig")?,
        };
        config.connect_timeout = Some(CONNECT);
        let namespace = reach.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).context("cannot use this kubeconfig's credentials")?;
        Ok(Self { client, server, namespace })
    }

    fn pairs(&self) -> Api<KuduMasterPair> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pair that is meant: the named one, or the only one.
    pub(crate) async fn pair(&self, named: Option<&str>) -> anyhow::Result<KuduMasterPair> {
        if let Some(name) = named {
            let pair = self.within("read the pair", self.pairs().get_opt(name)).await?;
            return match pair {
                Some(pair) => Ok(pair),
                None => bail!("there is no pair {name:?} in namespace {}; {}", self.namespace, self.names().await),
            };
        }
        let all = self.within("list pairs", self.pairs().list(&ListParams::default())).await?.items;
        match <[KuduMasterPair; 1]>::try_from(all) {
            Ok([pair]) => Ok(pair),
            Err(all) if all.is_empty() => {
                bail!("there is no pair in namespace {}; {}", self.namespace, self.names().await)
            }
            Err(all) => {
                let names: Vec<_> = all.iter().map(|pair| pair.name_any()).collect();
                bail!("namespace {} has more than one pair; name one of {}", self.namespace, names.join(", "))
            }
        }
    }

    /// What to name instead.
    async fn names(&self) -> String {
        let all = self.within("list pairs", self.pairs().list(&ListParams::default())).await;
        let names: Vec<_> = all.iter().flat_map(|all| all.iter().map(|pair| pair.name_any())).collect();
        if names.is_empty() {
            "`kubectl kudupair status -A` lists those of all namespaces, -n chooses another one".to_owned()
        } else {
            format!("name one of {}, or choose another namespace with -n", names.join(", "))
        }
    }

    /// The pair and its Lease as they are now.
    pub(crate) async fn look(&self, named: Option<&str>) -> anyhow::Result<Look> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let of = |name: &str| names::lease(name);
        let (pair, lease) = match named {
            Some(name) => {
                let lease = of(name);
                tokio::join!(self.pair(named), self.within("read the Lease", leases.get_opt(&lease)))
            }
            None => {
                let pair = self.pair(None).await?;
                let lease = of(&pair.name_any());
                (Ok(pair), self.within("read the Lease", leases.get_opt(&lease)).await)
            }
        };
        Ok(Look { pair: pair?, lease: lease?, now: Timestamp::now() })
    }

    /// All pairs of the namespace or of all of them, with their Leases.
    pub(crate) async fn looks(&self, everywhere: bool) -> anyhow::Result<Vec<Look>> {
        let (pairs, leases): (Api<KuduMasterPair>, Api<Lease>) = if everywhere {
            (Api::all(self.client.clone()), Api::all(self.client.clone()))
        } else {
            (self.pairs(), Api::namespaced(self.client.clone(), &self.namespace))
        };
        let (all, of_pairs) = (ListParams::default(), ListParams::default().labels(names::PAIR_LABEL));
        let (pairs, leases) = tokio::join!(
            self.within("list pairs", pairs.list(&all)),
            self.within("list Leases", leases.list(&of_pairs))
        );
        let (pairs, leases) = (pairs?.items, leases?.items);
        let now = Timestamp::now();
        let look = |pair: KuduMasterPair| {
            let name = names::lease(&pair.name_any());
            let own = |lease: &&Lease| lease.namespace() == pair.namespace() && lease.name_any() == name;
            Look { lease: leases.iter().find(own).cloned(), pair, now }
        };
        Ok(pairs.into_iter().map(look).collect())
    }

    /// The pods of a pair, in the order of their names.
    pub(crate) async fn pods(&self, name: &str) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut pods = self.within("list pods", pods.list(&of_pair(name))).await?.items;
        pods.sort_by_key(|pod| pod.name_any());
        Ok(pods)
    }

    /// The pods of controllers, in whatever namespace.
    pub(crate) async fn controllers(&self) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let params = ListParams::default().labels(CONTROLLERS);
        Ok(self.within("list the controller's pods", pods.list(&params)).await?.items)
    }

    /// What a container logged.
    pub(crate) async fn log(&self, source: &Source, params: &LogParams) -> anyhow::Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams { container: Some(source.container.clone()), ..params.clone() };
        let what = format!("read the log of {} in {}", source.container, source.member);
        self.within(&what, pods.logs(&source.member, &params)).await
    }

    /// The same, and what it logs from now on.
    pub(crate) async fn log_stream(
        &self,
        source: &Source,
        params: &LogParams,
    ) -> anyhow::Result<impl futures::AsyncBufRead + use<>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams { container: Some(source.container.clone()), ..params.clone() };
        let what = format!("read the log of {} in {}", source.container, source.member);
        self.within(&what, pods.log_stream(&source.member, &params)).await
    }

    /// What a program says in a container.
    pub(crate) async fn exec(&self, pod: &str, container: &str, words: &[&str]) -> anyhow::Result<Told> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let what = format!("run {} in {container} of {pod}", words.join(" "));
        let mut process = self.within(&what, pods.exec(pod, words.iter().copied(), &params)).await?;
        let (out, err) = (process.stdout(), process.stderr());
        let ended = process.take_status();
        let said = async {
            let (out, err) = tokio::join!(read_all(out), read_all(err));
            anyhow::Ok((
                out?,
                err?,
                match ended {
                    Some(ended) => ended.await,
                    None => None,
                },
            ))
        };
        let (text, errors, status) = tokio::time::timeout(ANSWER, said)
            .await
            .map_err(|_| anyhow!("cannot {what}: it did not end within {} s", ANSWER.as_secs()))??;
        Ok(Told { text, errors, status: exit_status(status.as_ref()) })
    }

    /// Who the API server takes this user for.
    pub(crate) async fn who_am_i(&self) -> Option<String> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let review = self.within("ask who I am", reviews.create(&params, &review)).await.ok()?;
        review.status?.user_info?.username
    }

    /// What a controller logged.
    pub(crate) async fn controller_log(&self, pod: &Pod, params: &LogParams) -> anyhow::Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let what = format!("read the log of {}", pod.name_any());
        self.within(&what, pods.logs(&pod.name_any(), params)).await
    }

    /// The API server's version.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.within("ask for the version", self.client.apiserver_version()).await?.git_version)
    }

    /// The objects that belong to a pair, by kind, but for pods; and the events of its namespace that speak of it.
    pub(crate) async fn objects_of(&self, name: &str) -> Vec<(&'static str, anyhow::Result<Vec<Value>>)> {
        let params = of_pair(name);
        let all = ListParams::default();
        let (sets, services, claims, budgets, events) = tokio::join!(
            self.values::<StatefulSet>("list StatefulSets", &params),
            self.values::<Service>("list Services", &params),
            self.values::<PersistentVolumeClaim>("list volume claims", &params),
            self.values::<PodDisruptionBudget>("list disruption budgets", &params),
            self.values::<Event>("list events", &all),
        );
        let about = |event: &Value| {
            let object = event.pointer("/involvedObject/name").and_then(Value::as_str).unwrap_or_default();
            object == name || object.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
        };
        let events = events.map(|events| events.into_iter().filter(about).collect());
        vec![
            ("statefulsets", sets),
            ("services", services),
            ("volume-claims", claims),
            ("disruption-budgets", budgets),
            ("events", events),
        ]
    }

    async fn values<K>(&self, what: &str, params: &ListParams) -> anyhow::Result<Vec<Value>>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = self.within(what, api.list(params)).await?.items;
        Ok(all.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
    }

    /// Sets an annotation of a pair.
    pub(crate) async fn annotate(&self, name: &str, annotation: &str, value: &str) -> anyhow::Result<KuduMasterPair> {
        let patch = json!({ "metadata": { "annotations": { annotation: value } } });
        self.patch("annotate the pair", name, &patch).await
    }

    /// Sets or removes an annotation in the very version of the pair that was read; false when it was changed meanwhile.
    pub(crate) async fn reannotate(
        &self,
        pair: &KuduMasterPair,
        annotation: &str,
        value: Option<&str>,
    ) -> anyhow::Result<bool> {
        let version = &pair.metadata.resource_version;
        let patch = json!({ "metadata": { "resourceVersion": version, "annotations": { annotation: value } } });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
        let name = pair.name_any();
        let patched = self.pairs().patch(&name, &params, &Patch::Merge(&patch)).await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            other => other.map(|_| true).map_err(|error| self.explain("annotate the pair", error)),
        }
    }

    /// Sets `spec.paused`.
    pub(crate) async fn set_paused(&self, name: &str, paused: bool) -> anyhow::Result<KuduMasterPair> {
        self.patch("change the pair", name, &json!({ "spec": { "paused": paused } })).await
    }

    async fn patch(&self, what: &str, name: &str, patch: &Value) -> anyhow::Result<KuduMasterPair> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..Default::default() };
        self.within(what, self.pairs().patch(name, &params, &Patch::Merge(patch))).await
    }

    async fn within<T>(&self, what: &str, work: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
        match tokio::time::timeout(ANSWER, work).await {
            Ok(answer) => answer.map_err(|error| self.explain(what, error)),
            Err(_) => bail!("cannot {what}: {} did not answer within {} s; try again", self.server, ANSWER.as_secs()),
        }
    }

    /// What went wrong and what to do.
    fn explain(&self, what: &str, error: kube::Error) -> anyhow::Error {
        match error {
            kube::Error::Api(status) => {
                let advice = match status.code {
                    401 => "; log in again: the credentials of this context are not accepted",
                    403 => {
                        "; ask for the right, or take another context (--context): the plugin needs get, list and patch of \
                         kudumasterpairs.kudupair.io, and get and list of leases.coordination.k8s.io"
                    }
                    404 => "; is the operator installed in this cluster? its chart brings the CRD",
                    _ => "",
                };
                anyhow!("cannot {what}: {}{advice}", status.message.trim())
            }
            error @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => anyhow!(
                "cannot {what}: {} cannot be reached ({}); see the network, or take another context (--context)",
                self.server,
                root(&error)
            ),
            other => anyhow!("cannot {what}: {other}"),
        }
    }
}

/// What a program said in a container.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) errors: String,
    /// Its exit status.
    pub(crate) status: i32,
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).await?;
    }
    Ok(text)
}

/// The exit status that a kubelet tells of: as the reason `NonZeroExitCode` with a cause of type `ExitCode`.
fn exit_status(status: Option<&Status>) -> i32 {
    let Some(status) = status.filter(|status| status.status.as_deref() != Some("Success")) else { return 0 };
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code =
        causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode")).find_map(|cause| cause.message.as_ref());
    code.and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN_STATUS)
}

/// What belongs to a pair.
fn of_pair(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={name}", names::PAIR_LABEL))
}

/// The innermost cause, which says most in fewest words.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
