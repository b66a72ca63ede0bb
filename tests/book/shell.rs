//! The commands that a block shows, split as a shell would. Pure.

use crate::markdown::Block;

/// A command: a program and what it is given.
#[derive(Debug, PartialEq)]
pub(crate) struct Command {
    /// The program and its arguments; variables that are set for it alone are left out.
    pub(crate) words: Vec<String>,
    /// What it reads, when the block shows that (`<<'END'`).
    pub(crate) input: Option<String>,
    /// The line of the page on which it begins.
    pub(crate) line: usize,
}

/// The commands of a block: in `console` those behind a prompt, in `sh` every line.
pub(crate) fn commands(block: &Block) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut lines = (block.line..).zip(block.text.lines());
    while let Some((line, text)) = lines.next() {
        let typed = if block.language == "console" { behind_prompt(text) } else { Some(text) };
        let Some(typed) = typed else { continue };
        let mut typed = typed.to_owned();
        while typed.ends_with('\\') {
            typed.pop();
            typed.push_str(lines.next().map_or("", |(_, text)| text));
        }
        let end = typed.split("<<").nth(1).map(|word| word.trim().trim_matches('\'').to_owned());
        let input = end.map(|end| {
            let body = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != end);
            body.map(|text| format!("{text}\n")).collect::<String>()
        });
        let mut input = input;
        for words in split(&typed) {
            commands.push(Command { words, input: input.take(), line });
        }
    }
    commands
}

/// What stands behind `$ `, `# ` never: perhaps the name of a machine stands before it, as in `one$ `.
fn behind_prompt(line: &str) -> Option<&str> {
    let (name, typed) = line.split_once("$ ")?;
    name.chars().all(|character| character.is_ascii_alphanumeric() || character == '-').then_some(typed)
}

/// The simple commands of a line, each as its words.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut skip = false;
    for token in tokens(line) {
        match token {
            Token::Separator => all.push(Vec::new()),
            Token::Redirection => skip = true,
            Token::Word(_) if skip => skip = false,
            Token::Word(word) => {
                if let Some(words) = all.last_mut() {
                    words.push(word);
                }
            }
        }
    }
    all.into_iter().map(without_variables).filter(|words| !words.is_empty()).collect()
}

fn without_variables(words: Vec<String>) -> Vec<String> {
    let sets = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|character| character.is_ascii_uppercase() || character == '_')
        })
    };
    words.into_iter().skip_while(sets).collect()
}

enum Token {
    Word(String),
    /// `|`, `&`, `;` and such.
    Separator,
    /// `>` and such: the next word is a file.
    Redirection,
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' => tokens.extend(word.take().map(Token::Word)),
            '#' if word.is_none() => break,
            '\'' => {
                let quoted = word.get_or_insert_default();
                quoted.extend(characters.by_ref().take_while(|next| *next != '\''));
            }
            '"' => {
                let quoted = word.get_or_insert_default();
                quoted.extend(characters.by_ref().take_while(|next| *next != '"'));
            }
            '$' if characters.peek() == Some(&'(') => {
                let inner: String = characters.by_ref().take_while(|next| *next != ')').collect();
                word.get_or_insert_default().push_str(&format!("${inner})"));
            }
            '|' | '&' | ';' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Separator);
            }
            '<' | '>' => {
                // The number of a file before it, as in 2>, is no argument.
                let number = word.take().filter(|word| word.parse::<u8>().is_err());
                tokens.extend(number.map(Token::Word));
                while characters.peek().is_some_and(|next| "<>&".contains(*next)) {
                    characters.next();
                }
                tokens.push(Token::Redirection);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(language: &str, text: &str) -> Vec<Command> {
        commands(&Block { language: language.to_owned(), text: text.to_owned(), line: 10 })
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn takes_what_was_typed_and_not_what_was_answered() {
        let typed = of("console", "$ kubectl get kmp   # all\nNAME ACTIVE\none$ kudu-pair ctl init &\n");
        let expected = [("kubectl get kmp", 10), ("kudu-pair ctl init", 12)];
        let expected = expected.map(|(text, line)| Command { words: words(text), input: None, line });
        assert_eq!(typed, expected);
    }

    #[test]
    fn goes_on_behind_a_backslash_and_reads_what_it_is_given() {
        let typed = of("console", "$ kubectl apply \\\n    -f - <<'END'\nkind: Pod\nEND\n$ kubectl get pods\n");
        let input = Some("kind: Pod\n".to_owned());
        let first = Command { words: words("kubectl apply -f -"), input, line: 10 };
        assert_eq!(typed, [first, Command { words: words("kubectl get pods"), input: None, line: 14 }]);
    }

    #[test]
    fn knows_quotes_pipes_redirections_and_variables() {
        let line = "FAULTS=a,b make chaos 2>&1 | grep -e 'a b' >\"file\"; echo x\"$(id -u)\"$(id)\n";
        let typed: Vec<_> = of("sh", line).into_iter().map(|command| command.words.join("|")).collect();
        assert_eq!(typed, ["make|chaos", "grep|-e|a b", "echo|x$(id -u)$(id)"]);
    }
}
