//! The book: its pages hang together, its words are those of the code, and its YAML and commands are tried.

mod commands;
#[path = "../kudu/harness.rs"]
mod harness;
mod kudu_tools;
mod markdown;
mod navigation;
mod on_a_server;
#[path = "../apiserver/server.rs"]
mod server;
mod shell;
mod words;

use std::path::{Path, PathBuf};

use markdown::Page;

/// The top of the tree.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files below a folder, in the order of their names.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files
}

/// The pages of the book.
fn book() -> Vec<Page> {
    files_below(&root().join("docs")).iter().map(|file| Page::read(root(), file)).collect()
}

/// Everything that people read: the book, and the pages beside it.
fn all_pages() -> Vec<Page> {
    let beside = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|file| root().join(file));
    let below = ["charts", "deploy"].map(|folder| files_below(&root().join(folder))).concat();
    let beside = beside.iter().chain(&below).map(|file| Page::read(root(), file));
    book().into_iter().chain(beside).collect()
}
