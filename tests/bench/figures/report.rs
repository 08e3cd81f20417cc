//! The figures as a table and as JSON.

use crate::affinity::is_pinned;
use crate::number::format_number;
use crate::plan::Plan;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The bound of a figure or of a ratio.
#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Bound::AtMost(limit) => format!("<= {limit}"),
            Bound::AtLeast(limit) => format!(">= {limit}"),
        }
    }

    fn to_json(self) -> Value {
        match self {
            Bound::AtMost(limit) => json!({ "at_most": limit }),
            Bound::AtLeast(limit) => json!({ "at_least": limit }),
        }
    }
}

/// One figure of one server.
pub struct Row {
    pub workload: String,
    pub figure: String,
    pub unit: &'static str,
    pub server: String,
    /// One sample for each round; empty if all rounds failed.
    pub samples: Vec<f64>,
    /// In another server's row, the gateway's figure divided by this one; NaN if no round has both.
    pub ratio: Option<f64>,
    /// The bound of the ratio or, in the gateway's own row, of the median.
    pub bound: Option<Bound>,
}

impl Row {
    pub fn of_gateway(workload: &str, figure: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        let (workload, server) = (workload.to_owned(), "gateway".to_owned());
        Row { workload, figure: figure.into(), unit, server, samples, ratio: None, bound: None }
    }

    pub fn bound(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Whether the bound is met; `None` without a bound.
    fn is_met(&self) -> Option<bool> {
        let value = self.ratio.or_else(|| median(&self.samples));
        self.bound.map(|bound| value.is_some_and(|value| bound.is_met_by(value)))
    }

    fn to_json(&self) -> Value {
        json!({
            "workload": self.workload, "figure": self.figure, "unit": self.unit, "server": self.server,
            "samples": self.samples, "median": median(&self.samples), "ratio": self.ratio,
            "bound": self.bound.map(Bound::to_json), "met": self.is_met(),
        })
    }

    fn cells(&self, label: String) -> [String; 6] {
        let value = match median(&self.samples) {
            Some(value) => format!("{} {}", format_number(value), self.unit),
            None => "failed".to_owned(),
        };
        let extreme = |fold: fn(f64, f64) -> f64| self.samples.iter().copied().reduce(fold).map(format_number);
        let range = match (extreme(f64::min), extreme(f64::max)) {
            (Some(min), Some(max)) if self.samples.len() > 1 => format!("{min}..{max}"),
            _ => String::new(),
        };
        let ratio = self.ratio.filter(|ratio| ratio.is_finite()).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let bound = self.bound.map(Bound::text).unwrap_or_default();
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [label, value, range, ratio, bound, met.to_owned()]
    }
}

/// The median; of an even number of samples, the mean of the two in the middle.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

/// All rows, in the order in which they were measured, and what is missing.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    skipped: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds what isn't measured on this machine, and why.
    pub fn skip(&mut self, what: String) {
        eprintln!("SKIPPED {what}");
        self.skipped.push(what);
    }

    /// Adds the failure of a measurement.
    pub fn fail(&mut self, failure: String) {
        eprintln!("{failure}");
        self.failures.push(failure);
    }

    /// Whether all measurements succeeded and all bounds are met.
    pub fn is_good(&self) -> bool {
        let (met, bounds) = self.bounds();
        self.failures.is_empty() && met == bounds
    }

    /// The number of bounds that are met, and of all bounds.
    pub fn bounds(&self) -> (usize, usize) {
        let bounds: Vec<bool> = self.rows.iter().filter_map(Row::is_met).collect();
        (bounds.iter().filter(|met| **met).count(), bounds.len())
    }

    /// The table: a heading for each workload, and a line for each figure or, with several servers, for each server.
    pub fn table(&self) -> String {
        let mut text = String::new();
        push_line(&mut text, ["", "median", "min..max", "ratio", "bound", ""].map(str::to_owned));
        for workload in self.rows.chunk_by(|one, next| one.workload == next.workload) {
            let _ = writeln!(text, "\n{}", workload[0].workload);
            for figure in workload.chunk_by(|one, next| one.figure == next.figure) {
                if let [row] = figure {
                    push_line(&mut text, row.cells(format!("  {}", row.figure)));
                    continue;
                }
                let _ = writeln!(text, "  {}", figure[0].figure);
                for row in figure {
                    push_line(&mut text, row.cells(format!("    {}", row.server)));
                }
            }
        }
        self.skipped.iter().for_each(|what| text.extend(["\nSKIPPED ", what, "\n"]));
        self.failures.iter().for_each(|failure| text.extend(["\nfailed: ", failure, "\n"]));
        text
    }

    pub fn write(&self, path: &Path, plan: &Plan) {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"), "quick": plan.quick, "pinned": is_pinned(),
            "figures": rows, "skipped": self.skipped, "failures": self.failures,
        });
        fs::write(path, format!("{report:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn push_line(text: &mut String, [label, value, range, ratio, bound, met]: [String; 6]) {
    let line = format!("{label:<46}{value:>20}  {range:>24}  {ratio:>7}  {bound:>9}  {met}");
    let _ = writeln!(text, "{}", line.trim_end());
}
