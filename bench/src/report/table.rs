//! A table as plain text and as Markdown.

use std::fmt::Write;

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What the figures are, in a sentence.
    pub(crate) caption: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, caption: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.to_owned(), caption: caption.to_owned(), columns, rows: Vec::new() }
    }

    /// For a terminal: words to the left, figures to the right.
    pub(crate) fn plain(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let mut text = format!("\n{}\n", self.title);
        if !self.caption.is_empty() {
            let _ = writeln!(text, "{}", self.caption);
        }
        for row in std::iter::once(&self.columns).chain(&self.rows) {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if self.is_figures(column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let _ = writeln!(text, "  {}", line.trim_end());
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        if !self.caption.is_empty() {
            let _ = writeln!(text, "{}\n", self.caption);
        }
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        text += &line(&self.columns);
        let rule = |column| if self.is_figures(column) { "---:" } else { "---" };
        let rule = (0..self.columns.len()).map(rule);
        text += &line(&rule.map(str::to_owned).collect::<Vec<_>>());
        self.rows.iter().for_each(|row| text += &line(row));
        text
    }

    fn is_figures(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        column > 0
            && cells
                .all(|cell| cell.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let longest = cells.chain(self.columns.get(column)).map(|cell| cell.chars().count()).max();
        longest.unwrap_or(0)
    }
}
