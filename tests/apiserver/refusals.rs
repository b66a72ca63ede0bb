//! Bad pairs are refused when they are written, with words that name the field and say what to do.

use kube::Client;
use kudu_pair::api::RESERVED_FLAGS;
use serde_json::{Value, json};

use crate::server_with_pairs;

const PAIRS: &str = "/apis/kudupair.io/v1alpha1/namespaces/default/kudumasterpairs";

/// A pair as a user writes it, with this `spec:` in YAML.
fn pair(name: &str, spec: &str) -> Value {
    let spec: Value = serde_yaml::from_str(spec).expect("a spec in YAML");
    json!({ "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": name }, "spec": spec })
}

/// Sends a pair as `kubectl` does: unknown fields are errors. The answer is the API server's message.
async fn send(client: &Client, method: &str, path: &str, pair: &Value) -> Result<Value, String> {
    let request = hyper::Request::builder()
        .method(method)
        .uri(format!("{path}?fieldValidation=Strict"))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(pair).expect("JSON"))
        .expect("a request");
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => panic!("{other}"),
    })
}

/// What is written, and what the refusal has to say.
struct Refusal {
    spec: String,
    says: Vec<String>,
}

fn refusal(spec: &str, says: &[&str]) -> Refusal {
    Refusal { spec: spec.to_owned(), says: says.iter().map(|&text| text.to_owned()).collect() }
}

fn refusals() -> Vec<Refusal> {
    let mut all = vec![
        refusal("imagePullSecrets: [{name: ''}]", &["spec.imagePullSecrets[0].name", "at least 1 chars"]),
        refusal("standbys: 0", &["spec.standbys", "greater than or equal to 1"]),
        refusal("standbys: 5", &["spec.standbys", "less than or equal to 4"]),
        refusal("storage: {wal: {size: 10 GB}}", &["spec.storage.wal.size", "10 GB: no quantity", "as in 10Gi"]),
        refusal("storage: {wal: {size: lots}}", &["spec.storage.wal.size", "lots: no quantity"]),
        refusal("storage: {data: {size: 63Mi}}", &["spec.storage.data.size", "at least 64Mi"]),
        refusal("storage: {wal: {size: -1Gi}}", &["spec.storage.wal.size", "at least 64Mi"]),
        refusal(
            "replication: {retention: lots}",
            &["spec.replication.retention", "lots: no number of bytes", "as in 1Gi"],
        ),
        refusal("replication: {retention: -1Gi}", &["spec.replication.retention", "-1Gi: no number of bytes"]),
        refusal("resources: {limits: {memory: much}}", &["spec.resources.limits", "not a quantity"]),
        refusal(
            "failover: {leaseDurationMilliseconds: 5500}",
            &[
                "spec.failover",
                "renewDeadlineMilliseconds + killTimeMilliseconds + clockMarginMilliseconds must be less than",
                "raise leaseDurationMilliseconds",
            ],
        ),
        refusal(
            "replication: {acknowledgement: {mode: Any}}",
            &["spec.replication.acknowledgement.count", "count is needed with the mode Any"],
        ),
        refusal(
            "replication: {acknowledgement: {mode: All, count: 1}}",
            &["spec.replication.acknowledgement.count", "only with it"],
        ),
        refusal(
            "{standbys: 1, replication: {acknowledgement: {mode: Any, count: 2}}}",
            &["spec.replication.acknowledgement.count must be at most spec.standbys", "raise spec.standbys"],
        ),
        refusal("replication: {timeoutMilliseconds: 499}", &["spec.replication.timeoutMilliseconds", "500"]),
        refusal(
            "replication: {whenUnavailable: Wait}",
            &["spec.replication.whenUnavailable", "\"Block\", \"Degrade\""],
        ),
        refusal("failover: {mode: Sometimes}", &["spec.failover.mode", "\"Automatic\", \"Approval\", \"Off\""]),
        refusal("failover: {mode: false}", &["spec.failover.mode", "must be of type string"]),
        refusal("failover: {automatic: true}", &["unknown field \"spec.failover.automatic\""]),
        refusal("failover: {maxLossOps: -1}", &["spec.failover.maxLossOps", "greater than or equal to 0"]),
        refusal(
            "failover: {maxLossOps: 1000000001}",
            &["spec.failover.maxLossOps", "less than or equal to 1000000000"],
        ),
        refusal("failover: {maxLossSeconds: -1}", &["spec.failover.maxLossSeconds", "greater than or equal to 0"]),
        refusal("failover: {maxLossSeconds: 86401}", &["spec.failover.maxLossSeconds", "less than or equal to 86400"]),
        refusal("failover: {failoversPerHour: 0}", &["spec.failover.failoversPerHour", "greater than or equal to 1"]),
        refusal(
            "failover: {failoversPerHour: 1001}",
            &["spec.failover.failoversPerHour", "less than or equal to 1000"],
        ),
        refusal("failover: {whenDegraded: Allow}", &["spec.failover.whenDegraded", "\"Refuse\", \"Promote\""]),
        refusal(
            "failover: {renewIntervalMilliseconds: 2001}",
            &["spec.failover", "renewIntervalMilliseconds must be at most half"],
        ),
        refusal(
            "failover: {killTimeMilliseconds: 0}",
            &["spec.failover.killTimeMilliseconds", "greater than or equal to 100"],
        ),
        refusal(
            "replication: {encryption: Sometimes}",
            &["spec.replication.encryption", "\"Sometimes\"", "\"Managed\", \"CertManager\", \"Plaintext\""],
        ),
        refusal(
            "replication: {encryption: CertManager}",
            &["spec.replication.issuerRef", "issuerRef is needed with the encryption CertManager"],
        ),
        refusal(
            "replication: {issuerRef: {name: house}}",
            &["spec.replication.issuerRef", "and only with it; set it, or remove it"],
        ),
        refusal(
            "replication: {encryption: CertManager, issuerRef: {kind: Issuer}}",
            &["spec.replication.issuerRef.name", "Required value"],
        ),
        refusal("replicas: 3", &["unknown field \"spec.replicas\""]),
        refusal("kudu: {flag: {}}", &["unknown field \"spec.kudu.flag\""]),
        refusal(
            "scheduling: {antiAffinity: Sometimes}",
            &["spec.scheduling.antiAffinity", "\"Sometimes\"", "\"Required\", \"Preferred\""],
        ),
        refusal("scheduling: {topologyKey: ''}", &["spec.scheduling.topologyKey", "at least 1 chars long"]),
        refusal("kudu: {image: ''}", &["spec.kudu.image", "at least 1 chars long"]),
        refusal("kudu: {version: latest}", &["spec.kudu.version", "should match"]),
        refusal("kudu: {imagePullPolicy: Sometimes}", &["spec.kudu.imagePullPolicy", "\"IfNotPresent\""]),
        refusal(
            "kudu: {flags: {--default_num_replicas: '1'}}",
            &["spec.kudu.flags", "--default_num_replicas: write the name without dashes in front"],
        ),
        refusal("kudu: {flags: {default-num-replicas: '1'}}", &["default-num-replicas: write the name without dashes"]),
        refusal(
            "kudu: {flags: {default_num_replicas: 1}}",
            &["spec.kudu.flags.default_num_replicas", "must be of type string"],
        ),
    ];
    for flag in RESERVED_FLAGS {
        for name in [flag.to_owned(), format!("no{flag}")] {
            all.push(refusal(
                &format!("kudu: {{flags: {{default_num_replicas: '1', {name}: x}}}}"),
                &["spec.kudu.flags", &format!("{flag}: this flag is reserved for the operator; remove it")],
            ));
        }
    }
    all.push(refusal("kudu: {flags: {daemon: x, version: x}}", &["daemon: this flag", "version: this flag"]));
    all
}

#[tokio::test]
async fn bad_pairs_are_refused_and_good_ones_are_not() {
    let Some(server) = server_with_pairs().await else { return };
    let client = server.admin();

    let mut wrong = Vec::new();
    for Refusal { spec, says } in refusals() {
        let answer = send(&client, "POST", PAIRS, &pair("bad", &spec)).await;
        match answer {
            Ok(_) => {
                wrong.push(format!("{spec}\n  was taken"));
                send(&client, "DELETE", &format!("{PAIRS}/bad"), &json!({})).await.expect("deleted");
            }
            Err(message) => {
                println!("{spec}\n  {message}");
                let missing: Vec<_> = says.iter().filter(|text| !message.contains(*text)).collect();
                if !missing.is_empty() {
                    wrong.push(format!("{spec}\n  {message}\n  does not say {missing:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    names_are_checked(&client).await;
    good_pairs_are_taken(&client).await;
    a_data_volume_can_be_neither_added_nor_removed(&client).await;
}

async fn names_are_checked(client: &Client) {
    let name = "a".repeat(53);
    let message = send(client, "POST", PAIRS, &pair(&name, "{}")).await.expect_err("too long");
    assert!(message.contains("metadata.name: at most 52 characters"), "{message}");
    for name in ["1st", "a.b"] {
        let message = send(client, "POST", PAIRS, &pair(name, "{}")).await.expect_err(name);
        assert!(message.contains("metadata.name: small letters, digits and '-'"), "{message}");
    }
    send(client, "POST", PAIRS, &pair(&"a".repeat(52), "{}")).await.expect("as long as a name may be");
}

async fn good_pairs_are_taken(client: &Client) {
    let example = include_str!("../../deploy/examples/pair.yaml");
    let example: Value = serde_yaml::from_str(example).expect("the example is YAML");
    send(client, "POST", PAIRS, &example).await.expect("deploy/examples/pair.yaml");

    let all_flags: String = (0..128).map(|n| format!("flag_{n}: '{}', ", "x".repeat(64))).collect();
    for (name, spec) in [
        ("numbers", "resources: {requests: {cpu: 1, memory: 1073741824}, limits: {cpu: '1.5', memory: 1.5Gi}}"),
        ("smallest", "storage: {wal: {size: 64Mi}, data: {size: '67108864'}}"),
        ("tight", "failover: {leaseDurationMilliseconds: 5501, renewIntervalMilliseconds: 2000}"),
        ("switched-off", "failover: {mode: 'Off', maxLossOps: 0, maxLossSeconds: 0, failoversPerHour: 1000}"),
        ("no-rpc", "kudu: {flags: {normal: x, notify: x, default_num_replicas: '1'}}"),
        ("plain", "replication: {encryption: Plaintext}"),
        ("all-of-them", "replication: {acknowledgement: {mode: All}, whenUnavailable: Degrade}"),
        ("any-of-two", "{standbys: 2, replication: {acknowledgement: {mode: Any, count: 2}}}"),
        ("by-cert-manager", "replication: {encryption: CertManager, issuerRef: {name: house}}"),
        ("many-flags", &format!("kudu: {{flags: {{{all_flags}}}}}")),
    ] {
        let taken = send(client, "POST", PAIRS, &pair(name, spec)).await.unwrap_or_else(|message| panic!("{message}"));
        let spec: Result<kudu_pair::api::KuduMasterPairSpec, _> = serde_json::from_value(taken["spec"].clone());
        spec.unwrap_or_else(|error| panic!("the API server took {name}, but the operator cannot read it: {error}"));
    }
}

async fn a_data_volume_can_be_neither_added_nor_removed(client: &Client) {
    for (name, before, after) in
        [("grows", "{}", "storage: {data: {}}"), ("shrinks", "storage: {data: {}}", "storage: {wal: {size: 10Gi}}")]
    {
        let live = send(client, "POST", PAIRS, &pair(name, before)).await.expect("made");
        let mut changed = pair(name, after);
        changed["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let message = send(client, "PUT", &format!("{PAIRS}/{name}"), &changed).await.expect_err("immutable");
        assert!(message.contains("spec.storage.data") && message.contains("make a new pair"), "{message}");
    }
}
