//! The summary has every page, and no link leads nowhere.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use crate::{all_pages, book, markdown::Page, root};

const SUMMARY: &str = "docs/SUMMARY.md";

#[test]
fn the_summary_has_every_page_once() {
    let pages = book();
    let summary = pages.iter().find(|page| page.name == SUMMARY).expect("the summary");
    let listed: Vec<_> = summary.links().into_iter().map(|link| format!("docs/{}", link.target)).collect();
    let there: BTreeSet<_> = pages.iter().map(|page| page.name.clone()).filter(|name| name != SUMMARY).collect();
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a page is listed twice");
    let forgotten: Vec<_> = there.difference(&once).collect();
    let missing: Vec<_> = once.difference(&there).collect();
    assert!(forgotten.is_empty() && missing.is_empty(), "not in {SUMMARY}: {forgotten:?}; no such page: {missing:?}");
}

#[test]
fn links_lead_somewhere() {
    let wrong: Vec<_> = all_pages().iter().flat_map(wrong_links).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn wrong_links(page: &Page) -> Vec<String> {
    let links = page.links().into_iter().filter(|link| !link.target.contains("://"));
    links
        .filter_map(|link| {
            let why = wrong(page, &link.target)?;
            Some(format!("{}:{}: {}: {why}", page.name, link.line, link.target))
        })
        .collect()
}

/// What is wrong with a link, if something is.
fn wrong(page: &Page, target: &str) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(&page.name).parent().unwrap_or(Path::new(""));
    let file = if path.is_empty() { PathBuf::from(&page.name) } else { plain(&folder.join(path)) };
    if !root().join(&file).exists() {
        return Some("there is no such file");
    }
    if page.name.starts_with("docs/") && !file.starts_with("docs") {
        return Some("leads out of the book; name the file in `code` instead");
    }
    let anchor = anchor?;
    let anchors = Page::read(root(), &root().join(&file)).anchors();
    (!anchors.iter().any(|known| known == anchor)).then_some("there is no such heading")
}

/// A path without `..` and `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
        plain
    })
}
