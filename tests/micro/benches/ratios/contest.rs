//! Rounds in which everybody has a turn, and what came of them: a table, and JSON.

use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// One who takes part: a name, and a turn, which returns what it cost.
pub struct Contender<'a> {
    name: &'static str,
    /// The gateway's advantage over this one that is aimed at.
    bar: Option<f64>,
    turn: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    /// The gateway's own part comes first, by its plain name.
    pub fn new(name: &'static str, turn: impl FnMut() -> f64 + 'a) -> Self {
        Contender { name, bar: None, turn: Box::new(turn) }
    }

    /// A rival that is to cost at least `bar` times as much.
    pub fn with_bar(name: &'static str, bar: f64, turn: impl FnMut() -> f64 + 'a) -> Self {
        Contender { bar: Some(bar), ..Contender::new(name, turn) }
    }
}

struct Score {
    what: String,
    unit: &'static str,
    rival: &'static str,
    ours: f64,
    theirs: f64,
    /// What the rival cost in terms of ours: the median of all rounds' ratios.
    ratio: f64,
    bar: Option<f64>,
}

/// What came of all contests.
#[derive(Default)]
pub struct Scores(Vec<Score>);

impl Scores {
    /// Lets the contenders, of which the first is ours, take turns. Each round begins with another one.
    pub fn contest(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        rounds: usize,
        mut contenders: Vec<Contender<'_>>,
    ) {
        let what = what.into();
        eprintln!("{what}");
        let mut costs = vec![Vec::new(); contenders.len()];
        for round in 0..=rounds {
            for turn in 0..contenders.len() {
                let index = (round + turn) % contenders.len();
                let cost = (contenders[index].turn)();
                // The first round is for warming up.
                if round > 0 {
                    costs[index].push(cost);
                }
            }
        }
        for (contender, theirs) in contenders.iter().zip(&costs).skip(1) {
            let ratios = costs[0].iter().zip(theirs).map(|(ours, theirs)| theirs / ours).collect();
            self.0.push(Score {
                what: what.clone(),
                unit,
                rival: contender.name,
                ours: median(costs[0].clone()),
                theirs: median(theirs.clone()),
                ratio: median(ratios),
                bar: contender.bar,
            });
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("{:44} {:>5} {:>11} {:>11} {:>8} {:>6}  rival", "what", "unit", "ours", "rival's", "ratio", "bar");
        for score in &self.0 {
            let bar = score.bar.map(|bar| bar.to_string()).unwrap_or_default();
            let under = if score.bar.is_some_and(|bar| score.ratio < bar) { "  UNDER THE BAR" } else { "" };
            println!(
                "{:44} {:>5} {:>11.1} {:>11.1} {:>8.2} {bar:>6}  {}{under}",
                score.what, score.unit, score.ours, score.theirs, score.ratio, score.rival
            );
        }
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let rows: Vec<Value> = self.0.iter().map(Score::to_json).collect();
        std::fs::write(path, format!("{:#}\n", Value::from(rows)))
    }
}

impl Score {
    fn to_json(&self) -> Value {
        json!({
            "what": self.what, "unit": self.unit, "rival": self.rival, "ours": self.ours, "theirs": self.theirs,
            "ratio": self.ratio, "bar": self.bar,
        })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
