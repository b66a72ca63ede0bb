//! Every command of the book and the pages beside it: who tries it, or why nobody does.

use std::collections::BTreeMap;

use clap::{Parser as _, error::ErrorKind};
use kudu_pair::{cli::Cli, plugin::Plugin};

use crate::{
    all_pages, root,
    shell::{self, Command},
};

/// Who tries a command.
#[derive(Debug, PartialEq)]
pub(crate) enum Trial {
    /// Its words were taken by the program's own command line.
    Parsed,
    /// It is a target of the Makefile, or a program of the tree.
    Exists,
    /// It is run on a real API server.
    Server,
    /// Nobody, for a reason.
    LeftOut(&'static str),
}

/// Beginnings of commands that nobody tries, each with the reason. What `kubectl exec` would run is parsed all the same.
const LEFT_OUT: &[(&str, &str)] = &[
    ("cargo", "builds; make test does so"),
    ("chmod", "of the system"),
    ("curl --silent", "needs a forwarded port; tests/book/trial types it"),
    ("docker", "builds and pushes an image; the demo builds the same one without docker"),
    ("export", "sets a variable of the reader's shell"),
    ("grep", "of the system"),
    ("head", "of the system"),
    ("helm uninstall", "needs what helm installed; tests/e2e does it"),
    ("install", "of the system"),
    ("kubectl apply --server-side -k", "tests/apiserver applies all of deploy/kustomize"),
    ("kubectl exec", "needs a member's container"),
    ("kubectl get --raw", "needs a controller's pod"),
    ("kubectl port-forward", "goes on until it is ended; tests/book/trial types it and asks for the page through it"),
    ("kubectl krew", "needs krew and the archive of the command before it"),
    ("kubectl logs", "needs a member's container"),
    ("kubectl rollout", "needs the StatefulSet's controller; tests/book/trial types it"),
    ("mkdir", "of the system"),
];

#[test]
fn every_command_is_one_that_we_know() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (place, command) in all() {
        match trial(&command) {
            Ok(trial) => *counts.entry(format!("{trial:?}")).or_default() += 1,
            Err(why) => wrong.push(format!("{place}: {}: {why}", command.words.join(" "))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{counts:#?}");
}

#[test]
fn no_reason_is_given_for_nothing() {
    let all = all();
    let idle: Vec<_> =
        LEFT_OUT.iter().filter(|(begin, _)| !all.iter().any(|(_, command)| begins(command, begin))).collect();
    assert!(idle.is_empty(), "no command begins so: {idle:?}");
}

/// Every command, with its place.
pub(crate) fn all() -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for page in all_pages() {
        for block in page.blocks().iter().filter(|block| ["console", "sh"].contains(&block.language.as_str())) {
            let commands = shell::commands(block);
            all.extend(commands.into_iter().map(|command| (format!("{}:{}", page.name, command.line), command)));
        }
    }
    all
}

/// Who tries a command; an error when it is wrong, or nobody knows it.
pub(crate) fn trial(command: &Command) -> Result<Trial, String> {
    let words: Vec<_> = command.words.iter().map(String::as_str).collect();
    inside(&words)?;
    if let Some((_, reason)) = LEFT_OUT.iter().find(|(begin, _)| begins(command, begin)) {
        return Ok(Trial::LeftOut(reason));
    }
    match words.as_slice() {
        ["kudu-pair", ..] => ours(&words),
        ["kubectl", "kudupair", rest @ ..] => {
            let words: Vec<_> = std::iter::once("kubectl-kudupair").chain(rest.iter().copied()).collect();
            let trial = parsed(Plugin::try_parse_from(words))?;
            // These only read what is there.
            Ok(if matches!(rest.first(), Some(&("status" | "explain"))) { Trial::Server } else { trial })
        }
        ["make", target, ..] => {
            let makefile = std::fs::read_to_string(root().join("Makefile")).expect("the Makefile");
            let is_there = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            if is_there { Ok(Trial::Exists) } else { Err("no such target".to_owned()) }
        }
        ["kubectl" | "helm", ..] => Ok(Trial::Server),
        [program, ..] if root().join(program).is_file() => Ok(Trial::Exists),
        _ => Err("nobody tries this, and no reason is given".to_owned()),
    }
}

/// What a command would run in a container.
fn inside(words: &[&str]) -> Result<(), String> {
    let Some(at) = words.iter().position(|word| *word == "--") else { return Ok(()) };
    match words.get(at + 1) {
        Some(&"/kudu-pair") => ours(words.get(at + 1..).unwrap_or_default()).map(drop),
        _ => Ok(()),
    }
}

fn ours(words: &[&str]) -> Result<Trial, String> {
    parsed(Cli::try_parse_from(words))
}

fn parsed<T>(parsed: Result<T, clap::Error>) -> Result<Trial, String> {
    match parsed {
        Ok(_) => Ok(Trial::Parsed),
        Err(error) if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) => Ok(Trial::Parsed),
        Err(error) => Err(error.to_string()),
    }
}

fn begins(command: &Command, begin: &str) -> bool {
    begin.split(' ').zip(command.words.iter().map(String::as_str).chain(std::iter::repeat(""))).all(|(a, b)| a == b)
}
