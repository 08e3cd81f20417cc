//! Figures as a table and as JSON.

use crate::number::show;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
}

impl Figure {
    fn is_within_limit(&self) -> bool {
        self.limit.is_none_or(|limit| self.value <= limit)
    }

    fn to_json(&self) -> Value {
        json!({ "what": self.what, "value": self.value, "unit": self.unit, "limit": self.limit })
    }
}

/// All figures, in the order in which they were measured.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure.
    pub fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { what: what.into(), value, unit, limit: None });
    }

    /// Adds a figure that may be `limit` at the most.
    pub fn add_limited(&mut self, what: impl Into<String>, value: f64, unit: &'static str, limit: f64) {
        self.figures.push(Figure { what: what.into(), value, unit, limit: Some(limit) });
    }

    /// Whether every figure that has a limit is within it.
    pub fn is_within_limits(&self) -> bool {
        self.figures.iter().all(Figure::is_within_limit)
    }

    /// Prints the table.
    pub fn print(&self) {
        let width = self.figures.iter().map(|figure| figure.what.len()).max().unwrap_or_default();
        println!("{:width$}  {:>14}  {:12}  {:>10}", "what", "value", "unit", "limit");
        for figure in &self.figures {
            let limit = figure.limit.map(show).unwrap_or_default();
            let mark = if figure.is_within_limit() { "" } else { "  OVER THE LIMIT" };
            let line =
                format!("{:width$}  {:>14}  {:12}  {limit:>10}{mark}", figure.what, show(figure.value), figure.unit);
            println!("{}", line.trim_end());
        }
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path, quick: bool) {
        let figures: Vec<Value> = self.figures.iter().map(Figure::to_json).collect();
        let report = json!({ "version": env!("CARGO_PKG_VERSION"), "quick": quick, "figures": figures });
        fs::write(path, format!("{report:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
