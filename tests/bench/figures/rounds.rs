//! One kind of work done by all servers, interleaved: one after the other, then all of them again, so that what else the
//! machine does is shared out. The gateway is compared with the others within each round.

use crate::load;
use crate::programs::Programs;
use crate::report::{Report, Row, Standing, median};
use crate::servers::{Kind, Server};
use crate::works::{Figure, Work};
use serde_json::Value;
use std::time::Instant;

/// What the load generator said of a server, round by round; `None` where it failed.
struct Outcomes {
    kind: Kind,
    rounds: Vec<Option<Value>>,
}

/// Does all rounds, and reports them.
pub fn run(work: &Work, programs: &Programs, report: &mut Report) {
    let mut all: Vec<Outcomes> = work.servers.iter().map(|kind| Outcomes { kind: *kind, rounds: Vec::new() }).collect();
    for round in 1..=work.rounds {
        let of = if work.rounds > 1 { format!(" ({round} of {})", work.rounds) } else { String::new() };
        let began = Instant::now();
        for outcomes in &mut all {
            let name = outcomes.kind.name();
            let outcome = once(work, outcomes.kind, programs);
            outcomes.rounds.push(outcome.map_err(|error| report.fail(format!("{}, {name}: {error}", work.name))).ok());
        }
        eprintln!("{}{of}: {:.0} s", work.name, began.elapsed().as_secs_f64());
    }
    for figure in &work.figures {
        all.iter().for_each(|outcomes| report.add(row(work, figure, outcomes, &all)));
    }
}

fn once(work: &Work, kind: Kind, programs: &Programs) -> Result<Value, String> {
    let server = Server::start(kind, programs, work.speaks, work.pings)?;
    let mut options = work.options.clone();
    options.extend(["--connections".to_owned(), connections(work, kind).to_string()]);
    let answer = load::run(programs, work.mode, &options, server.addr, server.process())?;
    match answer["open_when_measured"].as_u64() {
        Some(open) if open != connections(work, kind) as u64 => Err(format!("only {open} connections were there")),
        _ => Ok(answer),
    }
}

fn connections(work: &Work, kind: Kind) -> usize {
    if kind.is_script() { work.for_scripts } else { work.connections }
}

fn row(work: &Work, figure: &Figure, outcomes: &Outcomes, all: &[Outcomes]) -> Row {
    let kind = outcomes.kind;
    let ours = all.iter().find(|outcomes| outcomes.kind == Kind::Gateway);
    let standing = match kind {
        Kind::Gateway => Standing::Own,
        _ => Standing::Beside(ours.and_then(|ours| ratio(figure, ours, outcomes))),
    };
    let count = connections(work, kind);
    let server = match count == work.connections {
        true => kind.name().to_owned(),
        false => format!("{} ({count} only)", kind.name()),
    };
    Row {
        work: work.name.clone(),
        figure: figure.name.to_owned(),
        unit: figure.unit,
        server,
        samples: outcomes.rounds.iter().flatten().filter_map(|answer| figure.value(answer)).collect(),
        standing,
        must: figure.must_of(kind),
    }
}

/// Of the gateway to another server, in each round; the median of that.
fn ratio(figure: &Figure, ours: &Outcomes, theirs: &Outcomes) -> Option<f64> {
    let pairs = ours.rounds.iter().zip(&theirs.rounds);
    let ratios: Vec<f64> = pairs
        .filter_map(|(ours, theirs)| Some(figure.value(ours.as_ref()?)? / figure.value(theirs.as_ref()?)?))
        .collect();
    median(&ratios)
}
