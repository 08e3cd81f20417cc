//! The command line.

use lexopt::prelude::*;
use load::failure::Failure;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
hostile: attacks a gateway beside healthy clients, and measures what they notice of it

usage: hostile MODE [options] [WORD...]

modes:
  attacks     one attack after the other, each on a gateway of its own; with words, those whose names contain one.
              Prints a table; exits with 1 if a bar is missed
  soak        random misbehaviour; exits with 1 if a healthy client lost anything, or the gateway kept anything
  list        print the names of the attacks

options:
  --gateway FILE      the gateway's program (default: target/release/aisopod-gateway)
  --clients N         healthy clients (default: 1000)
  --rate N            requests a second of each (default: 10)
  --quiet S           attacks: measured seconds before each attack (default: 2)
  --seconds S         length of each attack (default: 11), or of the soak (default: 60)
  --cores all|split   all: the gateway and its clients share all cores (default); split: the gateway runs on the first
                      core, its clients and the attackers on the second
  --seed N            soak: repeats the random choices of an earlier soak
  --json FILE         attacks: also write the figures there
  -h, --help          print this
";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Attacks,
    Soak,
    List,
}

/// Which cores the gateway and its peers run on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cores {
    All,
    Split,
}

/// The parsed command line; [`HELP`] describes each option.
#[derive(Clone, Debug)]
pub struct Options {
    pub mode: Mode,
    pub gateway: PathBuf,
    pub clients: usize,
    pub rate: f64,
    pub quiet: Duration,
    pub seconds: Duration,
    pub cores: Cores,
    pub seed: Option<u64>,
    pub json: Option<PathBuf>,
    pub words: Vec<String>,
}

/// Parses the arguments; `None` means that help was requested.
pub fn parse(parser: lexopt::Parser) -> Result<Option<Options>, Failure> {
    parse_all(parser).map_err(|error| Failure(format!("{error}; see --help")))
}

fn parse_all(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let (mut mode, mut seconds_of_run) = (None, None);
    let mut options = Options {
        mode: Mode::List,
        gateway: "target/release/aisopod-gateway".into(),
        clients: 1000,
        rate: 10.0,
        quiet: Duration::from_secs(2),
        seconds: Duration::ZERO,
        cores: Cores::All,
        seed: None,
        json: None,
        words: Vec::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(word) if mode.is_none() => mode = Some(word.parse_with(parse_mode)?),
            Value(word) => options.words.push(word.string()?),
            Long("gateway") => options.gateway = parser.value()?.into(),
            Long("clients") => options.clients = parser.value()?.parse()?,
            Long("rate") => options.rate = parser.value()?.parse()?,
            Long("quiet") => options.quiet = seconds(&mut parser)?,
            Long("seconds") => seconds_of_run = Some(seconds(&mut parser)?),
            Long("cores") => options.cores = parser.value()?.parse_with(parse_cores)?,
            Long("seed") => options.seed = Some(parser.value()?.parse()?),
            Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    options.mode = mode.ok_or("a mode is missing")?;
    let default = Duration::from_secs(if options.mode == Mode::Soak { 60 } else { 11 });
    options.seconds = seconds_of_run.unwrap_or(default);
    if options.clients == 0 || !(0.1..=1000.0).contains(&options.rate) {
        return Err("--clients must be at least 1, and --rate 0.1 to 1000".into());
    }
    Ok(Some(options))
}

fn parse_mode(name: &str) -> Result<Mode, &'static str> {
    match name {
        "attacks" => Ok(Mode::Attacks),
        "soak" => Ok(Mode::Soak),
        "list" => Ok(Mode::List),
        _ => Err("unknown mode; expected attacks, soak or list"),
    }
}

fn parse_cores(name: &str) -> Result<Cores, &'static str> {
    match name {
        "all" => Ok(Cores::All),
        "split" => Ok(Cores::Split),
        _ => Err("unknown name; expected all or split"),
    }
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Option<Options>, String> {
        parse(lexopt::Parser::from_args(line.split_ascii_whitespace())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn words_follow_the_mode_and_the_default_length_depends_on_it() {
        let options = parse_line("attacks pings --cores split 14 --rate 5").unwrap().unwrap();
        assert_eq!((options.mode, options.cores, options.rate), (Mode::Attacks, Cores::Split, 5.0));
        assert_eq!(
            (options.words, options.seconds),
            (vec!["pings".to_owned(), "14".to_owned()], Duration::from_secs(11))
        );
        let options = parse_line("soak --seed 7").unwrap().unwrap();
        assert_eq!((options.mode, options.seed, options.seconds), (Mode::Soak, Some(7), Duration::from_secs(60)));
        assert!(parse_line("soak --help").unwrap().is_none());
    }

    #[test]
    fn invalid_arguments_are_described() {
        for (line, problem) in [
            ("", "a mode is missing"),
            ("shout", "unknown mode"),
            ("soak --clients 0", "--clients"),
            ("soak --rate 0", "--rate"),
            ("soak --cores none", "unknown name"),
            ("soak --loud 1", "--loud"),
        ] {
            let message = parse_line(line).unwrap_err();
            assert!(message.contains(problem), "{line}: {message}");
        }
    }
}
