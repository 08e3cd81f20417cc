//! The figures as a table and as JSON.

use crate::number::show;
use crate::pinned::is_pinned;
use crate::plan::Plan;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub enum Must {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Must {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Must::AtMost(limit) => value <= limit,
            Must::AtLeast(limit) => value >= limit,
        }
    }

    fn shown(self) -> String {
        match self {
            Must::AtMost(limit) => format!("<= {limit}"),
            Must::AtLeast(limit) => format!(">= {limit}"),
        }
    }

    fn to_json(self) -> Value {
        match self {
            Must::AtMost(limit) => json!({ "at_most": limit }),
            Must::AtLeast(limit) => json!({ "at_least": limit }),
        }
    }
}

/// One figure of one server.
pub struct Row {
    /// What was done.
    pub work: String,
    /// What was measured of it.
    pub figure: String,
    /// In what.
    pub unit: &'static str,
    /// Of whom.
    pub server: String,
    /// One for each round; empty if no round came to its end.
    pub samples: Vec<f64>,
    /// Whether it is the gateway's own.
    pub standing: Standing,
    /// What the median has to be if it is the gateway's own, and the ratio otherwise.
    pub must: Option<Must>,
}

/// What a row is to the gateway.
#[derive(Clone, Copy)]
pub enum Standing {
    /// Its own.
    Own,
    /// Another server's: the gateway's figure divided by this server's, the median over all rounds; `None` if no
    /// round has both.
    Beside(Option<f64>),
}

impl Row {
    /// A figure of the gateway's, measured once.
    pub fn once(work: &str, figure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (work, server) = (work.to_owned(), "gateway".to_owned());
        Row { work, figure: figure.into(), unit, server, samples: vec![value], standing: Standing::Own, must: None }
    }

    /// The same with what it has to be.
    pub fn must(mut self, must: Must) -> Self {
        self.must = Some(must);
        self
    }

    /// `None` when nothing has to be.
    fn is_met(&self) -> Option<bool> {
        let judged = match self.standing {
            Standing::Own => median(&self.samples),
            Standing::Beside(ratio) => ratio,
        };
        self.must.map(|must| judged.is_some_and(|value| must.is_met_by(value)))
    }

    fn ratio(&self) -> Option<f64> {
        match self.standing {
            Standing::Own => None,
            Standing::Beside(ratio) => ratio,
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "work": self.work, "figure": self.figure, "unit": self.unit, "server": self.server,
            "samples": self.samples, "median": median(&self.samples), "ratio": self.ratio(),
            "must": self.must.map(Must::to_json), "met": self.is_met(),
        })
    }

    fn cells(&self, label: String) -> [String; 6] {
        let value = match median(&self.samples) {
            Some(value) => format!("{} {}", show(value), self.unit),
            None => "failed".to_owned(),
        };
        let bounds = |fold: fn(f64, f64) -> f64| self.samples.iter().copied().reduce(fold).map(show);
        let range = match (bounds(f64::min), bounds(f64::max)) {
            (Some(least), Some(most)) if self.samples.len() > 1 => format!("{least}..{most}"),
            _ => String::new(),
        };
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let must = self.must.map(Must::shown).unwrap_or_default();
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        [label, value, range, ratio, must, met.to_owned()]
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

/// All rows, in the order in which they were measured.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Something that should have been measured was not.
    pub fn fail(&mut self, what: String) {
        eprintln!("{what}");
        self.failures.push(what);
    }

    /// Whether everything was measured, and is what it has to be.
    pub fn is_good(&self) -> bool {
        let (met, judged) = self.met();
        self.failures.is_empty() && met == judged
    }

    /// How many figures have to be something, and how many of them are.
    pub fn met(&self) -> (usize, usize) {
        let judged: Vec<bool> = self.rows.iter().filter_map(Row::is_met).collect();
        (judged.iter().filter(|met| **met).count(), judged.len())
    }

    /// The table: a heading for each work; a line for each figure, or if others are measured too, for each server.
    pub fn table(&self) -> String {
        let mut text = String::new();
        line(&mut text, ["", "median", "min..max", "ratio", "must be", ""].map(str::to_owned));
        for work in self.rows.chunk_by(|one, next| one.work == next.work) {
            let _ = writeln!(text, "\n{}", work[0].work);
            for figure in work.chunk_by(|one, next| one.figure == next.figure) {
                if let [row] = figure {
                    line(&mut text, row.cells(format!("  {}", row.figure)));
                    continue;
                }
                let _ = writeln!(text, "  {}", figure[0].figure);
                for row in figure {
                    line(&mut text, row.cells(format!("    {}", row.server)));
                }
            }
        }
        self.failures.iter().for_each(|failure| text.extend(["\nfailed: ", failure, "\n"]));
        text
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path, plan: &Plan) {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        let report = json!({ "version": env!("CARGO_PKG_VERSION"), "quick": plan.quick, "pinned": is_pinned(), "figures": rows, "failures": self.failures });
        fs::write(path, format!("{report:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn line(text: &mut String, [label, value, range, ratio, must, met]: [String; 6]) {
    let line = format!("{label:<44}{value:>20}  {range:>24}  {ratio:>7}  {must:>9}  {met}");
    let _ = writeln!(text, "{}", line.trim_end());
}
