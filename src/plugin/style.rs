//! Colours, on a terminal only, and columns.

use std::io::IsTerminal as _;

/// What a piece of text is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// Worth a look.
    Attention,
    /// Somebody has to act.
    Bad,
    /// Beside the point.
    Quiet,
}

/// Whether tones become colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// Text alone.
    pub(crate) const PLAIN: Self = Self { colours: false };

    /// Colours when the standard output is a terminal that can show them and nobody asked for none (`NO_COLOR`).
    pub(crate) fn of_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { colours: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// The text in its colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Attention => "33",
            Tone::Bad => "1;31",
            Tone::Quiet => "2",
        };
        if self.colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell(pub(crate) Tone, pub(crate) String);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(Tone::Plain, text.into())
    }
}

/// Columns of equal width, as kubectl prints them. The last one is as wide as its text.
pub(crate) fn table(style: Style, indent: &str, rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(|Cell(_, text)| text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut all = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        let mut owed = 0;
        for (Cell(tone, text), width) in row.iter().zip(&widths) {
            line.push_str(&" ".repeat(owed));
            line.push_str(&style.paint(*tone, text));
            owed = width.saturating_sub(text.chars().count()) + 3;
        }
        all.push_str(line.trim_end());
        all.push('\n');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_colours_too() {
        let rows = [
            vec![Cell(Tone::Strong, "NAME".to_owned()), "STATE".into(), "NOTE".into()],
            vec!["demo-0".into(), Cell(Tone::Good, "Serving".to_owned()), "".into()],
            vec!["d".into(), "".into(), "a note".into()],
        ];
        let plain = table(Style::PLAIN, "  ", &rows);
        assert_eq!(plain, "  NAME     STATE     NOTE\n  demo-0   Serving\n  d                  a note\n");
        let coloured = table(Style { colours: true }, "  ", &rows);
        let bare =
            ["\x1b[1m", "\x1b[32m", "\x1b[0m"].iter().fold(coloured.clone(), |text, code| text.replace(code, ""));
        assert_ne!(coloured, plain);
        assert_eq!(bare, plain);
    }
}
