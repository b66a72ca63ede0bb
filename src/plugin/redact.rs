//! Takes out of a bug report what does not belong into one, and leaves what explains the bug.
//!
//! Addresses and nodes get names of their own, the same one everywhere, so that it can still be seen which is which.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde_json::Value;

use crate::api::KuduMasterPair;

const REDACTED: &str = "<redacted>";
/// What a name has in it when its value is nobody's business.
const SECRET: [&str; 6] = ["password", "passwd", "secret", "token", "credential", "private_key"];
/// Variables whose values tell something about a bug and nothing else.
const PLAIN_VARIABLES: [&str; 2] = ["RUST_LOG", "RUST_BACKTRACE"];
const OWN_VARIABLES: &str = "KUDU_PAIR_";

/// A pair without the words that say what people did.
pub(super) fn without_changes(mut pair: KuduMasterPair) -> KuduMasterPair {
    for gap in pair.status.iter_mut().flat_map(|status| &mut status.gaps) {
        for words in [&mut gap.changes, &mut gap.outcome].into_iter().filter(|words| !words.is_empty()) {
            *words = vec![redacted(words.len())];
        }
    }
    for condition in pair.status.iter_mut().flat_map(|status| &mut status.conditions) {
        if condition.type_.starts_with("Gap") {
            condition.message = REDACTED.to_owned();
        }
    }
    pair
}

fn redacted(count: usize) -> String {
    format!("<{count} redacted>")
}

/// What was given another name so far.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    addresses: BTreeMap<IpAddr, String>,
    /// Other texts, the longer ones first where one is a part of the other.
    names: Vec<(String, String)>,
    nodes: usize,
}

impl Redactor {
    /// A node's name, to be replaced wherever it stands.
    pub(super) fn node(&mut self, name: &str) {
        if name.is_empty() || self.names.iter().any(|(known, _)| known == name) {
            return;
        }
        self.nodes += 1;
        self.names.push((name.to_owned(), format!("node-{}", self.nodes)));
        self.names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// An object of the API.
    pub(super) fn object(&mut self, object: &mut Value) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        self.value(object);
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(all) => all.iter_mut().for_each(|one| self.value(one)),
            Value::Object(fields) => {
                let about_gaps = ["type", "reason"].iter().filter_map(|name| fields.get(*name)?.as_str());
                if about_gaps.into_iter().any(|word| word.starts_with("Gap")) && fields.contains_key("message") {
                    fields.insert("message".to_owned(), REDACTED.into());
                }
                let variable = fields.get("name").and_then(Value::as_str).map(str::to_owned);
                for (name, field) in fields.iter_mut() {
                    match (name.as_str(), &mut *field) {
                        ("value", Value::String(text)) if variable.as_deref().is_some_and(is_variable) => {
                            *text = REDACTED.to_owned();
                        }
                        ("image" | "imageID", Value::String(text)) => *text = without_registry(text),
                        // What people did: names of tables.
                        ("changes" | "outcome", Value::Array(all)) => *all = vec![redacted(all.len()).into()],
                        (name, Value::String(text)) if is_secret(name) => *text = REDACTED.to_owned(),
                        (_, field) => self.value(field),
                    }
                }
            }
            _ => {}
        }
    }

    /// Words, as they stand in logs and messages.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut text = without_secrets(&without_pem(text));
        for (name, other) in &self.names {
            text = text.replace(name, other);
        }
        self.without_addresses(&text)
    }

    fn without_addresses(&mut self, text: &str) -> String {
        let is_part = |letter: char| letter.is_ascii_hexdigit() || letter == '.' || letter == ':';
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            out.push_str(before);
            let end = from.find(|letter| !is_part(letter)).unwrap_or(from.len());
            let (token, after) = from.split_at(end);
            // Not a part of a longer word.
            let alone = !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-')
                && !after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            out.push_str(&if alone { self.token(token) } else { token.to_owned() });
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// An address, with a port or the end of a sentence behind it, or something else.
    fn token(&mut self, token: &str) -> String {
        let core = token.trim_end_matches(['.', ':']);
        let tail = token.strip_prefix(core).unwrap_or_default();
        if let Ok(address) = core.parse::<Ipv4Addr>() {
            return self.address(address.into()) + tail;
        }
        if let Some((host, port)) = core.split_once(':')
            && let (Ok(address), true) = (host.parse::<Ipv4Addr>(), port.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return format!("{}:{port}{tail}", self.address(address.into()));
        }
        match core.parse::<Ipv6Addr>() {
            Ok(address) if core.len() > 2 => self.address(address.into()) + tail,
            _ => token.to_owned(),
        }
    }

    fn address(&mut self, address: IpAddr) -> String {
        if address.is_loopback() || address.is_unspecified() {
            return address.to_string();
        }
        let next = self.addresses.len() + 1;
        self.addresses.entry(address).or_insert_with(|| format!("ip-{next}")).clone()
    }
}

fn is_variable(name: &str) -> bool {
    !PLAIN_VARIABLES.contains(&name) && !name.starts_with(OWN_VARIABLES)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret)) && !name.ends_with("name")
}

/// The last part of an image's name, with tag or digest.
fn without_registry(image: &str) -> String {
    image.rsplit_once('/').map_or_else(|| image.to_owned(), |(_, name)| format!("<registry>/{name}"))
}

/// Without what stands between BEGIN and END lines.
fn without_pem(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("-----BEGIN ") {
        out.push_str(before);
        out.push_str(REDACTED);
        let end = from.split_once("-----END ").and_then(|(_, end)| end.split_once("-----"));
        rest = end.map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// Without what is behind `password=`, `token:` and the like.
fn without_secrets(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for word in SECRET {
        for (at, _) in lower.match_indices(word) {
            let behind = at + word.len();
            let Some(sign) = text.get(behind..).filter(|rest| rest.starts_with(['=', ':'])) else { continue };
            let value = sign.trim_start_matches(['=', ':', ' ', '"']);
            let start = text.len() - value.len();
            let length = value.find(|letter: char| letter.is_whitespace() || "\",;}".contains(letter));
            cuts.push((start, start + length.unwrap_or(value.len())));
        }
    }
    cuts.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in cuts {
        if start >= done && end > start {
            out.push_str(text.get(done..start).unwrap_or_default());
            out.push_str(REDACTED);
            done = end;
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("from 10.0.0.7:7051 to 10.0.0.8, and 10.0.0.7.", "from ip-1:7051 to ip-2, and ip-1.")]
    #[case("fd00::1 [fd00::1]:7051", "ip-1 [ip-1]:7051")]
    #[case("127.0.0.1:8061 0.0.0.0:7051 ::1", "127.0.0.1:8061 0.0.0.0:7051 ::1")]
    #[case(
        "2026-03-01T12:00:00.123456Z 3000001.1405 Kudu 1.18.1 :: deadbeef",
        "2026-03-01T12:00:00.123456Z 3000001.1405 Kudu 1.18.1 :: deadbeef"
    )]
    #[case("on worker-7.example and worker-7", "on node-2 and node-1")]
    #[case("a token=abc.def; Password: \"x y\"", "a token=<redacted>; Password: \"<redacted> y\"")]
    #[case("key -----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY----- end", "key <redacted> end")]
    #[case("-----BEGIN PRIVATE KEY-----\nAAAA", "<redacted>")]
    #[case("the token was read", "the token was read")]
    fn words(#[case] text: &str, #[case] expected: &str) {
        let mut redactor = Redactor::default();
        redactor.node("worker-7");
        redactor.node("worker-7.example");
        assert_eq!(redactor.text(text), expected);
    }

    #[test]
    fn objects() {
        let mut object = json!({
            "metadata": {
                "name": "demo-0", "managedFields": [{}],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "kudupair.io/switchover": "any" },
            },
            "spec": {
                "nodeName": "worker-7",
                "containers": [{
                    "name": "kudu-master", "image": "registry.example/team/kudu:1.18.1",
                    "env": [{ "name": "PROXY", "value": "http://me" }, { "name": "RUST_LOG", "value": "info" }],
                }],
                "kudu": { "flags": { "some_password": "x", "default_num_replicas": "1" } },
            },
            "status": { "podIP": "10.0.0.7", "conditions": [{ "type": "GapPending", "message": "created table salaries" }], "gaps": [{ "changes": ["created table salaries"], "ops": 1 }] },
        });
        let mut redactor = Redactor::default();
        redactor.node("worker-7");
        redactor.object(&mut object);
        insta::assert_json_snapshot!(object);
    }
}
