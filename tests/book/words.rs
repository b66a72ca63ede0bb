//! Every reason of a condition and of an event that the code gives has a row in the book, and no row is about nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{markdown::Page, root};

/// Where reasons come from.
const SOURCES: [&str; 5] = [
    "src/failover",
    "src/controller/act.rs",
    "src/controller/certificates.rs",
    "src/controller/error.rs",
    "src/api/names.rs",
];

/// Words in these files that look like reasons and are none.
const NO_REASONS: [&str; 4] = ["False", "Lease", "True", "Unknown"];

/// Reasons that are the names of a switch's steps.
const STEPS: [&str; 3] = ["Fencing", "Promoting", "Repointing"];

const CONDITIONS: &str = "docs/reference/conditions.md";
const EVENTS: &str = "docs/reference/events.md";

fn page(name: &str) -> Page {
    Page::read(root(), &root().join(name))
}

/// The text of the program in these files, without its tests and comments, on one line each.
fn sources() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for source in SOURCES {
        let path = root().join(source);
        let files = if path.is_dir() { rust_files(&path) } else { vec![path] };
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            all.push((file.display().to_string(), lines.collect::<Vec<_>>().join(" ")));
        }
    }
    all
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Words in quotes that are written as reasons are: `"LikeThis"`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let like_a_reason = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.chars().all(|other| other.is_ascii_alphabetic())
    };
    text.split('"').skip(1).step_by(2).filter(like_a_reason)
}

/// The first words in quotes behind each of these.
fn given_to<'a>(text: &'a str, callee: &str) -> Vec<&'a str> {
    let argument = |rest: &'a str| rest.trim_start().strip_prefix('"')?.split('"').next();
    text.split(callee).skip(1).filter_map(argument).collect()
}

/// Types of conditions with their reasons, each with the status that it stands for, as the page has them.
fn conditions() -> BTreeMap<String, BTreeMap<String, String>> {
    let page = page(CONDITIONS);
    let types = page.headings().into_iter().filter(|heading| !heading.contains(' ') && *heading != "Conditions");
    let reasons = |type_: &str| {
        let rows = page.rows(type_);
        let row = |row: &Vec<String>| Some((name(row, 1)?, row.first()?.clone()));
        rows.iter().filter_map(row).collect()
    };
    types.map(|type_| (type_.to_owned(), reasons(type_))).collect()
}

/// The events with their types, as the page has them; empty where they are all of one type.
fn events() -> BTreeMap<String, String> {
    let page = page(EVENTS);
    let row =
        |row: &Vec<String>| Some((name(row, 0)?, row.get(1).filter(|_| row.len() == 4).cloned().unwrap_or_default()));
    page.headings().iter().flat_map(|heading| page.rows(heading)).filter_map(|cells| row(&cells)).collect()
}

/// What stands as `code` in a column.
fn name(row: &[String], column: usize) -> Option<String> {
    Some(row.get(column)?.strip_prefix('`')?.split('`').next()?.to_owned())
}

#[test]
fn every_word_of_the_code_is_in_the_book() {
    let conditions = conditions();
    let mut known: BTreeSet<_> = events().into_keys().collect();
    known.extend(conditions.keys().cloned());
    known.extend(conditions.into_values().flat_map(BTreeMap::into_keys));
    let mut missing = BTreeSet::new();
    for (file, text) in sources() {
        let unknown = quoted(&text).filter(|word| !NO_REASONS.contains(word) && !known.contains(*word));
        missing.extend(unknown.map(|word| format!("{word} of {file}")));
    }
    assert!(missing.is_empty(), "neither in {CONDITIONS} nor in {EVENTS}: {missing:#?}");
}

#[test]
fn no_row_is_about_nothing() {
    let sources = sources();
    let words: BTreeSet<_> = sources.iter().flat_map(|(_, text)| quoted(text)).chain(STEPS).collect();
    let conditions = conditions();
    let reasons = conditions.values().flat_map(BTreeMap::keys);
    let told = conditions.keys().chain(reasons).cloned().chain(events().into_keys());
    let idle: BTreeSet<_> = told.filter(|name| !words.contains(name.as_str())).collect();
    assert!(idle.is_empty(), "the code does not know: {idle:?}");
}

#[test]
fn what_is_published_is_in_the_page_of_events() {
    let events = events();
    let mut wrong = BTreeSet::new();
    for (_, text) in sources() {
        // Who waits for a person is an event too; of those all are warnings.
        let callees = [("PairEvent::normal(", "Normal"), ("PairEvent::warning(", "Warning"), ("Waiting::stuck(", "")];
        for (callee, type_) in callees {
            let is_told = |name: &&str| events.get(*name).is_some_and(|told| told.contains(type_));
            let untold = given_to(&text, callee).into_iter().filter(|name| !is_told(name));
            wrong.extend(untold.map(|name| format!("{type_} {name}")));
        }
    }
    assert!(wrong.is_empty(), "not in {EVENTS}, or with another type: {wrong:?}");
}

#[test]
fn whoever_waits_shows_in_the_condition_ready() {
    let conditions = conditions();
    let ready = conditions.get("Ready").expect("the condition Ready");
    let mut missing = BTreeSet::new();
    for (_, text) in sources() {
        for callee in ["Waiting::briefly(", "Waiting::stuck(", "wait("] {
            missing.extend(
                given_to(&text, callee).into_iter().filter(|name| !ready.contains_key(*name)).map(str::to_owned),
            );
        }
    }
    assert!(missing.is_empty(), "not at Ready in {CONDITIONS}: {missing:?}");
}

#[test]
fn reasons_stand_at_their_condition_with_their_status() {
    let conditions = conditions();
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        for said in text.split("said(").skip(1) {
            let mut parts = said.splitn(4, ',').map(str::trim);
            let (type_, holds, reason) = (parts.next(), parts.next(), parts.next());
            let (Some(type_), Some(reason)) = (type_.and_then(in_quotes), reason.and_then(in_quotes)) else { continue };
            let told = conditions.get(type_).and_then(|reasons| reasons.get(reason)).map(String::as_str);
            let status = if holds == Some("true") { "True" } else { "False" };
            if ![Some(status), Some("either")].contains(&told) {
                wrong.insert(format!("{type_} {reason} of {file}: {status}, and the page says {told:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{CONDITIONS}: {wrong:#?}");
}

fn in_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}
