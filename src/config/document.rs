//! A configuration file while it is being read: its tables, their keys, and what is wrong so far.

use super::error::{ConfigError, Problem};
use super::parse::{NAME_SYNTAX, format_duration, is_name, parse_duration, parse_level};
use crate::auth::Role;
use crate::config::{PresencePolicies, PresencePolicy};
use log::LevelFilter;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file.
pub(crate) struct Document<'a> {
    path: String,
    text: &'a str,
    /// Each with its line.
    problems: Vec<(usize, Problem)>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(path: String, text: &'a str) -> Self {
        Document { path, text, problems: Vec::new() }
    }

    /// How much is wrong so far.
    pub(crate) fn count(&self) -> usize {
        self.problems.len()
    }

    /// All problems, in the order of their lines.
    pub(crate) fn finish(mut self) -> Result<(), ConfigError> {
        self.problems.sort_by_key(|(line, _)| *line);
        let problems: Vec<Problem> = self.problems.into_iter().map(|(_, problem)| problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }

    /// Something wrong at a place in the text.
    pub(crate) fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        let line = self.text[..span.start.min(self.text.len())].matches('\n').count() + 1;
        let problem = Problem { place: format!("{}:{line}", self.path), message: message.into() };
        self.problems.push((line, problem));
    }

    /// Something wrong with a flag that stands over the file.
    pub(crate) fn problem_of_flag(&mut self, flag: &str, message: String) {
        self.problems.push((0, Problem { place: flag.to_owned(), message }));
    }

    /// A value that isn't allowed, shown as it stands in the file.
    pub(crate) fn refuse(&mut self, key: &str, value: &Spanned<DeValue<'_>>, allowed: &str) {
        let shown = self.text.get(value.span()).unwrap_or_default().replace('\n', " ");
        self.problem(value.span(), format!("{key} = {shown}; {allowed}"));
    }
}

/// One table of the file; it remembers which keys were asked for.
pub(crate) struct Table<'a> {
    name: &'static str,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    takes_any_key: bool,
}

impl<'a> Table<'a> {
    pub(crate) fn new(name: &'static str, table: &'a DeTable<'a>) -> Self {
        Table { name, table, known: Vec::new(), takes_any_key: false }
    }

    /// The value of a key that this table may have.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Where the value of a key stands.
    pub(crate) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get(key).map(Spanned::span)
    }

    /// Reads a table in this one, if it is there.
    pub(crate) fn table(
        &mut self,
        key: &'static str,
        file: &mut Document<'_>,
        read: impl FnOnce(&mut Document<'_>, &mut Table<'a>),
    ) {
        let Some(value) = self.take(key) else { return };
        let Some(table) = value.get_ref().as_table() else {
            file.refuse(key, value, &format!("allowed: a table, [{key}]"));
            return;
        };
        let mut section = Table::new(key, table);
        read(file, &mut section);
        section.finish(file);
    }

    /// Complains of every key that nothing asked for.
    pub(crate) fn finish(self, file: &mut Document<'_>) {
        for key in self.table.keys().filter(|key| !self.takes_any_key && !self.known.contains(&key.get_ref().as_ref()))
        {
            let (shown, known) = (self.full(key.get_ref()), self.known.join(", "));
            file.problem(key.span(), format!("unknown key {shown}; allowed here: {known}"));
        }
    }

    /// Each of the readers below leaves `setting` alone when the key is absent or its value not allowed, and
    /// returns where the value stands when it was read.
    pub(crate) fn duration(
        &mut self,
        file: &mut Document<'_>,
        key: &'static str,
        allowed: RangeInclusive<Duration>,
        setting: &mut Duration,
    ) -> Option<Range<usize>> {
        let value = self.take(key)?;
        let parsed = value.get_ref().as_str().and_then(parse_duration).filter(|duration| allowed.contains(duration));
        let (from, to) = (format_duration(*allowed.start()), format_duration(*allowed.end()));
        let forms = format!("allowed: \"{from}\" to \"{to}\", a whole number with ms, s, m or h");
        self.accept(file, key, value, parsed, &forms, setting)
    }

    pub(crate) fn integer(
        &mut self,
        file: &mut Document<'_>,
        key: &'static str,
        allowed: RangeInclusive<usize>,
        why: &str,
        setting: &mut usize,
    ) -> Option<Range<usize>> {
        let value = self.take(key)?;
        let integer = value.get_ref().as_integer();
        let parsed = integer.and_then(|integer| usize::from_str_radix(integer.as_str(), integer.radix()).ok());
        let forms = format!("allowed: {} to {}{why}", allowed.start(), allowed.end());
        self.accept(file, key, value, parsed.filter(|number| allowed.contains(number)), &forms, setting)
    }

    pub(crate) fn boolean(&mut self, file: &mut Document<'_>, key: &'static str, setting: &mut bool) {
        let Some(value) = self.take(key) else { return };
        self.accept(file, key, value, value.get_ref().as_bool(), "allowed: true, false", setting);
    }

    pub(crate) fn level(&mut self, file: &mut Document<'_>, key: &'static str, setting: &mut LevelFilter) {
        let Some(value) = self.take(key) else { return };
        let forms = "allowed: \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"";
        self.accept(file, key, value, value.get_ref().as_str().and_then(parse_level), forms, setting);
    }

    /// A policy for each role that is named.
    pub(crate) fn presence(&mut self, file: &mut Document<'_>, setting: &mut PresencePolicies) {
        for (key, value) in self.table.iter() {
            let (shown, role) = (self.full(key.get_ref()), Role::from(key.get_ref().as_ref()));
            let policy = value.get_ref().as_str().and_then(PresencePolicy::parse);
            match policy.filter(|_| is_name(key.get_ref())) {
                Some(policy) => setting.set(role, policy),
                None if policy.is_some() => file.problem(key.span(), format!("{shown}; a role is {NAME_SYNTAX}")),
                None => file.refuse(&shown, value, "allowed: \"allow\", \"replace\", \"reject\""),
            }
        }
        self.takes_any_key = true;
    }

    /// A list of texts that `check` accepts.
    pub(crate) fn strings(
        &mut self,
        file: &mut Document<'_>,
        key: &'static str,
        check: fn(&str) -> bool,
        forms: &str,
        setting: &mut Vec<String>,
    ) {
        let Some(value) = self.take(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            file.refuse(&self.full(key), value, "allowed: a list of strings");
            return;
        };
        for item in items.iter() {
            match item.get_ref().as_str().filter(|text| check(text)) {
                Some(text) => setting.push(text.to_owned()),
                None => file.refuse(&self.full(key), item, forms),
            }
        }
    }

    /// A text that must be there and that `check` accepts; `span` is where it is missing.
    pub(crate) fn required(
        &mut self,
        file: &mut Document<'_>,
        key: &'static str,
        span: &Range<usize>,
        check: fn(&str) -> bool,
        forms: &str,
    ) -> Option<String> {
        let Some(value) = self.take(key) else {
            file.problem(span.clone(), format!("{} is missing; {forms}", self.full(key)));
            return None;
        };
        let mut text = String::new();
        let parsed = value.get_ref().as_str().filter(|text| check(text)).map(str::to_owned);
        self.accept(file, key, value, parsed, forms, &mut text).map(|_| text)
    }

    fn accept<T>(
        &self,
        file: &mut Document<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parsed: Option<T>,
        forms: &str,
        setting: &mut T,
    ) -> Option<Range<usize>> {
        match parsed {
            Some(parsed) => *setting = parsed,
            None => {
                file.refuse(&self.full(key), value, forms);
                return None;
            }
        }
        Some(value.span())
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
