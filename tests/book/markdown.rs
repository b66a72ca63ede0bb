//! What the tests need of a Markdown page: its blocks of code, its headings, its links and its tables. Pure, but for `read`.

use std::{collections::HashMap, path::Path};

/// A page.
pub(crate) struct Page {
    /// Its path from the top of the tree, as in `docs/limits.md`.
    pub(crate) name: String,
    text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    /// The word behind the fence, as in `yaml`; empty without one.
    pub(crate) language: String,
    /// What is in it, without the fence's own indentation.
    pub(crate) text: String,
    /// The number of its first line.
    pub(crate) line: usize,
}

/// A link to something that is not code.
pub(crate) struct Link {
    /// As written, as in `../limits.md#disk`.
    pub(crate) target: String,
    pub(crate) line: usize,
}

impl Page {
    pub(crate) fn read(root: &Path, file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(root).expect("a file of the tree").display().to_string();
        Self { name, text }
    }

    pub(crate) fn of(text: &str) -> Self {
        Self { name: "page.md".to_owned(), text: text.to_owned() }
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (line, text) in (1..).zip(self.text.lines()) {
            let fence = text.trim_start().strip_prefix("```");
            open = match (open, fence) {
                (None, None) => None,
                (None, Some(language)) => {
                    let indentation = text.len() - text.trim_start().len();
                    let language = language.trim().to_owned();
                    Some((indentation, Block { language, text: String::new(), line: line + 1 }))
                }
                (Some((_, block)), Some(_)) => {
                    blocks.push(block);
                    None
                }
                (Some((indentation, mut block)), None) => {
                    block.text.push_str(text.get(indentation..).unwrap_or_default());
                    block.text.push('\n');
                    Some((indentation, block))
                }
            };
        }
        assert!(open.is_none(), "{}: a block of code is not closed", self.name);
        blocks
    }

    /// Lines that are not code, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_code = false;
        (1..).zip(self.text.lines()).filter(move |(_, text)| {
            let fence = text.trim_start().starts_with("```");
            in_code ^= fence;
            !in_code && !fence
        })
    }

    /// Headings as they are written, without their marks.
    pub(crate) fn headings(&self) -> Vec<&str> {
        self.prose().filter_map(|(_, line)| heading(line)).collect()
    }

    /// What links to this page may name behind `#`.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut times: HashMap<String, usize> = HashMap::new();
        let numbered = |heading: &str| {
            let anchor = anchor(heading);
            let before = times.entry(anchor.clone()).or_default();
            *before += 1;
            if *before == 1 { anchor } else { format!("{anchor}-{}", *before - 1) }
        };
        self.headings().into_iter().map(numbered).collect()
    }

    pub(crate) fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (line, text) in self.prose() {
            let text = without_code(text);
            for rest in text.split("](").skip(1) {
                let target = rest.split(')').next().unwrap_or_default().to_owned();
                links.push(Link { target, line });
            }
        }
        links
    }

    /// The rows of all tables below a heading, up to the next one, as cells.
    pub(crate) fn rows(&self, under: &str) -> Vec<Vec<String>> {
        let mut inside = false;
        let mut rows = Vec::new();
        for (_, line) in self.prose() {
            if let Some(found) = heading(line) {
                inside = found == under;
            } else if let Some(row) = line.trim().strip_prefix('|').filter(|_| inside) {
                let cells = row.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
                rows.push(cells);
            }
        }
        rows
    }
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len() && text.starts_with(' ')).then(|| text.trim())
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchor of a heading, in mdBook and elsewhere.
fn anchor(heading: &str) -> String {
    let kept = |character: char| character.is_alphanumeric() || "-_ ".contains(character);
    heading
        .to_lowercase()
        .chars()
        .filter(|character| kept(*character))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# A page

Text with [a link](other.md#part), `code](no)`.

1. A list:

   ```console
   $ kubectl get kmp
   ```

## The part's end

| a | b |
|---|---|
| `x` | y |

```yaml
# no heading [no](link)
kind: Pod
```

## The part's end
";

    #[test]
    fn reads_what_is_in_a_page() {
        let page = Page::of(PAGE);
        let blocks = page.blocks();
        let blocks: Vec<_> =
            blocks.iter().map(|block| (block.language.as_str(), block.text.as_str(), block.line)).collect();
        let yaml = "# no heading [no](link)\nkind: Pod\n";
        assert_eq!(blocks, [("console", "$ kubectl get kmp\n", 8), ("yaml", yaml, 18)]);
        assert_eq!(page.headings(), ["A page", "The part's end", "The part's end"]);
        assert_eq!(page.anchors(), ["a-page", "the-parts-end", "the-parts-end-1"]);
        let links: Vec<_> = page.links().into_iter().map(|link| (link.target, link.line)).collect();
        assert_eq!(links, [("other.md#part".to_owned(), 3)]);
        assert_eq!(page.rows("The part's end"), [["a", "b"], ["---", "---"], ["`x`", "y"]]);
    }
}
