//! What the book runs of Kudu's own tools, against what these say of themselves.

use std::fmt::Write as _;

use crate::{commands, harness::try_kudu};

#[test]
fn kudus_tools_take_what_the_book_gives_them() {
    let mut wrong = String::new();
    let mut tried = 0;
    for (place, command) in commands::all() {
        let words = command.words.iter().map(String::as_str).skip_while(|word| *word != "--").skip(1);
        let words: Vec<_> = words.collect();
        if let ["kudu", mode, action, rest @ ..] = words.as_slice() {
            tried += 1;
            if let Err(why) = check(mode, action, rest) {
                let _ = writeln!(wrong, "{place}: kudu {mode} {action}: {why}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(tried > 0, "the book runs no tool of Kudu's");
}

/// Whether there is such an action, with as many arguments, and these flags.
fn check(mode: &str, action: &str, given: &[&str]) -> Result<(), String> {
    let output = try_kudu([mode, action, "--help"]);
    let help = [output.stdout, output.stderr].concat();
    let help = String::from_utf8_lossy(&help);
    let (_, usage) = help.split_once(&format!("kudu {mode} {action} ")).ok_or("there is no such action")?;
    // Usage goes on over several lines, up to an empty one; flags stand in brackets behind the arguments.
    let usage = usage.split("\n\n").next().unwrap_or_default();
    let arguments = usage.split('[').next().unwrap_or_default().matches('<').count();
    let (flags, given): (Vec<&str>, Vec<&str>) = given.iter().copied().partition(|word| word.starts_with("--"));
    if arguments != given.len() {
        return Err(format!("takes {arguments} arguments, not {}", given.len()));
    }
    let mut names = flags.iter().map(|flag| flag.trim_start_matches("--").split('=').next().unwrap_or_default());
    match names.find(|flag| !usage.contains(&format!("[-{flag}"))) {
        Some(flag) => Err(format!("has no flag {flag}")),
        None => Ok(()),
    }
}
