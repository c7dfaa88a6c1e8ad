//! Figures of several rounds, and tables of them.

use std::fmt;

/// One figure per round.
#[derive(Clone, Default, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds the next round's.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The least disturbed one.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The median, and the minimum in parentheses, with so many decimals.
    pub fn shown(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$})", self.median(), self.min())
    }

    /// Median of the ratios of each round: what disturbed a round disturbed
    /// both.
    pub fn ratio_to(&self, other: &Self) -> f64 {
        self.pairwise(other, |own, other| own / other)
    }

    /// Median of the differences of each round.
    pub fn above(&self, other: &Self) -> f64 {
        self.pairwise(other, |own, other| own - other)
    }

    fn pairwise(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| combine(*own, *other)).collect()).median()
    }
}

/// A table in Markdown.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self {
            rows: vec![columns.iter().map(|&column| column.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![3; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_rounds() {
        let own = Samples(vec![2.0, 9.0, 4.0, 6.0]);
        let other = Samples(vec![1.0, 3.0, 2.0, 6.0]);
        assert_eq!(own.median(), 5.0);
        assert_eq!(own.min(), 2.0);
        assert_eq!(own.shown(1), "5.0 (2.0)");
        assert_eq!(own.ratio_to(&other), 2.0);
        assert_eq!(own.above(&other), 1.5);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["a", "long column"]);
        table.row(vec!["four".into(), "1".into()]);
        assert_eq!(
            table.to_string(),
            "| a    | long column |\n\
             |------|-------------|\n\
             | four | 1           |\n"
        );
    }
}
