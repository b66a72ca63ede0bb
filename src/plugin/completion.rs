//! Shell completion: of the program by itself, and of `kubectl kudupair`, for which kubectl asks a program of its own.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};

use super::{Plugin, cluster::Cluster, look::Look};

/// Name of the hidden command that completes.
pub(super) const SUBCOMMAND: &str = "__complete";
/// kubectl calls the program `kubectl_complete-kudupair` on the PATH with the words typed so far.
const FOR_KUBECTL: &str = "#!/bin/sh\n# Put this on the PATH as kubectl_complete-kudupair, executable.\nexec kubectl-kudupair __complete -- \"$@\"\n";
/// To kubectl's shells: complete no file names.
const NO_FILES: &str = ":4";

/// What completes: a shell, or kubectl.
#[derive(clap::ValueEnum, Debug, Clone, Copy)]
enum Target {
    /// A script for the PATH, by which `kubectl kudupair` is completed in every shell that completes kubectl.
    Kubectl,
    /// For `kubectl-kudupair` in bash.
    Bash,
    /// For `kubectl-kudupair` in zsh.
    Zsh,
    /// For `kubectl-kudupair` in fish.
    Fish,
}

/// Print a completion script.
///
/// `kubectl kudupair completion kubectl > /usr/local/bin/kubectl_complete-kudupair`, made executable, completes commands, flags and
/// pairs after `kubectl kudupair` (kubectl 1.26 or newer, with kubectl's own completion set up). The others complete the
/// program called by its own name: `source <(kubectl-kudupair completion bash)`.
#[derive(Args, Debug)]
pub(super) struct CompletionArgs {
    /// What completes.
    #[arg(value_enum)]
    target: Target,
}

impl CompletionArgs {
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let mut out = Vec::new();
        let shell = match self.target {
            Target::Kubectl => {
                out.extend_from_slice(FOR_KUBECTL.as_bytes());
                None
            }
            Target::Bash => Some(clap_complete::Shell::Bash),
            Target::Zsh => Some(clap_complete::Shell::Zsh),
            Target::Fish => Some(clap_complete::Shell::Fish),
        };
        if let Some(shell) = shell {
            let mut command = Plugin::command().bin_name("kubectl-kudupair");
            clap_complete::generate(shell, &mut command, "kubectl-kudupair", &mut out);
        }
        Ok(io::stdout().write_all(&out)?)
    }
}

/// The words typed so far, the last one perhaps unfinished.
#[derive(Args, Debug)]
pub(super) struct CompleteArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl CompleteArgs {
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    pub(super) async fn print(&self, cluster: Option<Cluster>) -> anyhow::Result<()> {
        let mut found = words(&self.words);
        if let (true, Some(cluster)) = (wants_pair(&self.words), cluster) {
            // A completion that cannot be made is none.
            let pairs = cluster.looks(false).await.unwrap_or_default();
            let typed = self.words.last().map_or("", String::as_str);
            found.extend(pairs.iter().map(Look::name).filter(|name| name.starts_with(typed)));
        }
        let text: String = found.into_iter().map(|word| word + "\n").collect();
        Ok(io::stdout().write_all(format!("{text}{NO_FILES}\n").as_bytes())?)
    }
}

/// The command that was typed.
fn command<'a>(root: &'a clap::Command, words: &[String]) -> Option<&'a clap::Command> {
    let (_, before) = words.split_last()?;
    before.iter().find_map(|word| root.find_subcommand(word))
}

/// The commands or flags that begin as what was typed.
fn words(words: &[String]) -> Vec<String> {
    let mut root = Plugin::command();
    root.build();
    let typed = words.last().map_or("", String::as_str);
    let command = command(&root, words);
    let found: Vec<_> = match command {
        _ if typed.starts_with('-') => {
            let flags = command.unwrap_or(&root).get_arguments().filter(|argument| !argument.is_hide_set());
            flags.filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect()
        }
        None => {
            let all = root.get_subcommands().filter(|command| !command.is_hide_set());
            let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
            all.map(|command| format!("{}\t{}", command.get_name(), about(command))).collect()
        }
        Some(_) => Vec::new(),
    };
    found.into_iter().filter(|word| word.starts_with(typed)).collect()
}

/// Whether the next word is a pair's name.
fn wants_pair(words: &[String]) -> bool {
    let mut root = Plugin::command();
    root.build();
    let takes = |command: &clap::Command| command.get_arguments().any(|argument| argument.get_id() == "pair");
    let typed = words.last().map_or("", String::as_str);
    command(&root, words).is_some_and(takes) && !typed.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn commands_flags_and_pairs_are_completed() {
        assert_eq!(words(&typed(&["swi"])).len(), 1);
        assert!(words(&typed(&["swi"]))[0].starts_with("switchover\t"));
        assert!(words(&typed(&[""])).iter().all(|word| !word.starts_with("__")));
        assert_eq!(words(&typed(&["switchover", "--dry"])), ["--dry-run"]);
        assert_eq!(words(&typed(&["switchover", "--names"])), ["--namespace"]);
        assert!(words(&typed(&["status", ""])).is_empty());
        assert!(wants_pair(&typed(&["status", "de"])));
        assert!(!wants_pair(&typed(&["completion", ""])));
        assert!(!wants_pair(&typed(&["st"])));
    }
}
