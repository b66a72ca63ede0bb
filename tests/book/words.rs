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

/// Types of conditions with their reasons, as the page has them.
fn conditions() -> BTreeMap<String, BTreeSet<String>> {
    let page = page(CONDITIONS);
    let types = page.headings().into_iter().filter(|heading| !heading.contains(' ') && *heading != "Conditions");
    types.map(|type_| (type_.to_owned(), names(&page.rows(type_), 1))).collect()
}

fn events() -> BTreeSet<String> {
    let page = page(EVENTS);
    page.headings().iter().flat_map(|heading| names(&page.rows(heading), 0)).collect()
}

/// What stands as `code` in a column.
fn names(rows: &[Vec<String>], column: usize) -> BTreeSet<String> {
    let cells = rows.iter().filter_map(|row| row.get(column));
    cells.filter_map(|cell| Some(cell.strip_prefix('`')?.split('`').next()?.to_owned())).collect()
}

#[test]
fn every_word_of_the_code_is_in_the_book() {
    let conditions = conditions();
    let mut known = events();
    known.extend(conditions.keys().cloned());
    known.extend(conditions.into_values().flatten());
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
    let told = conditions.keys().chain(conditions.values().flatten()).cloned().chain(events());
    let idle: BTreeSet<_> = told.filter(|name| !words.contains(name.as_str())).collect();
    assert!(idle.is_empty(), "the code does not know: {idle:?}");
}

#[test]
fn what_is_published_is_in_the_page_of_events() {
    let events = events();
    let mut missing = BTreeSet::new();
    for (_, text) in sources() {
        // Who waits for a person is an event too.
        for callee in ["PairEvent::normal(", "PairEvent::warning(", "Waiting::stuck("] {
            missing
                .extend(given_to(&text, callee).into_iter().filter(|name| !events.contains(*name)).map(str::to_owned));
        }
    }
    assert!(missing.is_empty(), "not in {EVENTS}: {missing:?}");
}

#[test]
fn whoever_waits_shows_in_the_condition_ready() {
    let conditions = conditions();
    let ready = conditions.get("Ready").expect("the condition Ready");
    let mut missing = BTreeSet::new();
    for (_, text) in sources() {
        for callee in ["Waiting::briefly(", "Waiting::stuck(", "wait("] {
            missing
                .extend(given_to(&text, callee).into_iter().filter(|name| !ready.contains(*name)).map(str::to_owned));
        }
    }
    assert!(missing.is_empty(), "not at Ready in {CONDITIONS}: {missing:?}");
}

#[test]
fn reasons_stand_at_their_condition() {
    let conditions = conditions();
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        for said in text.split("said(").skip(1) {
            let mut parts = said.splitn(4, ',').map(str::trim);
            let (type_, _, reason) = (parts.next(), parts.next(), parts.next());
            let (Some(type_), Some(reason)) = (type_.and_then(in_quotes), reason.and_then(in_quotes)) else { continue };
            if !conditions.get(type_).is_some_and(|reasons| reasons.contains(reason)) {
                wrong.insert(format!("{type_} {reason} of {file}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not in {CONDITIONS}: {wrong:?}");
}

fn in_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}
