//! Reading a configuration file: typed access to its tables, detection of unknown keys, and the problems found.

use super::error::{ConfigError, Problem};
use super::memory_limit::{MEMORY_LIMIT_SYNTAX, MemoryLimit};
use super::parse::{
    NAME_SYNTAX, allowed_durations, allowed_integers, is_name, parse_duration, parse_level, parse_time,
};
use super::suggest::did_you_mean;
use crate::auth::Role;
use crate::config::{ListenAddr, PresencePolicies, PresencePolicy, parse_listen};
use crate::labels::Label;
use crate::network::PeerSet;
use log::LevelFilter;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, SystemTime};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// The settings outside of all sections. In TOML, they must come before the first section.
const TOP_LEVEL_KEYS: &[&str] = &["listen", "listen_reuse_port", "log_level"];

/// The entries of a list of peers, for messages.
const PEER_SYNTAX: &str =
    "allowed: an IP address, a network such as \"10.0.0.0/8\", or \"unix\" for the peers at Unix sockets";

/// The file's text, and the problems found in it so far.
pub(crate) struct Document<'t> {
    path: String,
    text: &'t str,
    problems: Vec<LocatedProblem>,
    /// Valid settings that are probably mistakes.
    warnings: Vec<Problem>,
}

struct LocatedProblem {
    /// Counted from 1; 0 for a flag.
    line: usize,
    problem: Problem,
}

impl<'t> Document<'t> {
    pub(crate) fn new(path: String, text: &'t str) -> Self {
        Document { path, text, problems: Vec::new(), warnings: Vec::new() }
    }

    /// The number of problems found so far.
    pub(crate) fn error_count(&self) -> usize {
        self.problems.len()
    }

    /// Returns the warnings; fails with all problems, ordered by line, if there are any.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, ConfigError> {
        self.problems.sort_by_key(|located| located.line);
        let problems: Vec<Problem> = self.problems.into_iter().map(|located| located.problem).collect();
        if problems.is_empty() { Ok(self.warnings) } else { Err(ConfigError(problems)) }
    }

    /// Adds a problem at a position of the text.
    pub(crate) fn error_at(&mut self, span: Range<usize>, message: impl Into<String>) {
        let located = self.locate(&span, message.into());
        self.problems.push(located);
    }

    fn locate(&self, span: &Range<usize>, message: String) -> LocatedProblem {
        let line = self.text[..span.start.min(self.text.len())].matches('\n').count() + 1;
        LocatedProblem { line, problem: Problem { location: format!("{}:{line}", self.path), message } }
    }

    /// Adds a problem with a flag that overrides the file.
    pub(crate) fn flag_error(&mut self, flag: &str, message: String) {
        self.problems.push(LocatedProblem { line: 0, problem: Problem { location: flag.to_owned(), message } });
    }
}

/// One table of the file. It records which keys were read, so that [`Table::reject_unknown`] finds the others.
pub(crate) struct Table<'d, 't> {
    document: &'d mut Document<'t>,
    /// Its key path; empty for the top level.
    name: &'static str,
    table: &'t DeTable<'t>,
    known: Vec<&'t str>,
}

/// The typed readers (`duration`, `integer`, ...) leave `setting` unchanged if the key is absent, and add a problem if
/// the value isn't allowed.
impl<'d, 't> Table<'d, 't> {
    pub(crate) fn new(document: &'d mut Document<'t>, name: &'static str, table: &'t DeTable<'t>) -> Self {
        Table { document, name, table, known: Vec::new() }
    }

    /// A table inside this one, with its own key path.
    pub(crate) fn child(&mut self, name: &'static str, table: &'t DeTable<'t>) -> Table<'_, 't> {
        Table::new(self.document, name, table)
    }

    /// Marks a key as known, and returns its value.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// The position of a key's value; `None` if the key is absent.
    pub(crate) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get(key).map(Spanned::span)
    }

    /// ` (the default)` for a setting that this table doesn't have, otherwise empty.
    pub(crate) fn default_mark(&self, key: &str) -> &'static str {
        if self.table.contains_key(key) { "" } else { " (the default)" }
    }

    pub(crate) fn error_count(&self) -> usize {
        self.document.error_count()
    }

    pub(crate) fn error_at(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.document.error_at(span, message);
    }

    pub(crate) fn warn_at(&mut self, span: Range<usize>, message: String) {
        let located = self.document.locate(&span, message);
        self.document.warnings.push(located.problem);
    }

    /// Adds a problem for a value that isn't allowed, showing the value as it is written in the file.
    pub(crate) fn invalid_value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let shown = self.document.text.get(value.span()).unwrap_or_default().replace('\n', " ");
        let message = format!("{} = {shown}; {expected}", self.key_path(key));
        self.error_at(value.span(), message);
    }

    /// The key with the path of this table, such as `limits.max_connections`.
    pub(crate) fn key_path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Adds a problem for every key that wasn't taken.
    pub(crate) fn reject_unknown(mut self) {
        for key in self.table.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                self.unknown_key(key);
            }
        }
    }

    fn unknown_key(&mut self, key: &Spanned<DeString<'_>>) {
        let name: &str = key.get_ref();
        let path = self.key_path(name);
        let message = if TOP_LEVEL_KEYS.contains(&name) {
            format!("unknown key {path}; {name} is a top-level setting: move it above the first [section]")
        } else {
            let suggestion = did_you_mean(name, self.known.iter().copied());
            format!("unknown key {path}{suggestion}; allowed here: {}", self.known.join(", "))
        };
        self.error_at(key.span(), message);
    }

    /// Reads a section, if the file has it.
    pub(crate) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Table<'_, 't>)) {
        let Some(value) = self.take(key) else { return };
        let Some(table) = value.get_ref().as_table() else {
            self.invalid_value(key, value, &format!("allowed: a table, [{key}]"));
            return;
        };
        let mut section = self.child(key, table);
        read(&mut section);
        section.reject_unknown();
    }

    /// Reads one address, or a list. Keeps only valid ones, so that the checks that follow don't report an invalid
    /// address again.
    pub(crate) fn addresses(&mut self, key: &'static str, may_be_empty: bool, setting: &mut Vec<ListenAddr>) {
        let Some(value) = self.take(key) else { return };
        setting.clear();
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![value],
        };
        if items.is_empty() && !may_be_empty {
            self.invalid_value(key, value, "allowed: at least one address");
        }
        for item in items {
            match parse_listen(item.get_ref().as_str().unwrap_or_default()) {
                Err(expected) => self.invalid_value(key, item, expected),
                Ok(addr) => match addr.check_with(setting) {
                    Ok(addr) => setting.push(addr),
                    Err(problem) => self.error_at(item.span(), format!("{}: {problem}", self.key_path(key))),
                },
            }
        }
    }

    pub(crate) fn duration(&mut self, key: &'static str, allowed: &RangeInclusive<Duration>, setting: &mut Duration) {
        let Some(value) = self.take(key) else { return };
        let parsed = value.get_ref().as_str().and_then(parse_duration).filter(|duration| allowed.contains(duration));
        let expected = format!("allowed: {}, a whole number with ms, s, m or h", allowed_durations(allowed));
        self.assign(key, value, parsed, &expected, setting);
    }

    /// Reads a whole number; `hint` follows the allowed range in the message.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        allowed: &RangeInclusive<usize>,
        hint: &str,
        setting: &mut usize,
    ) {
        let Some(value) = self.take(key) else { return };
        let integer = value.get_ref().as_integer();
        let parsed = integer.and_then(|integer| usize::from_str_radix(integer.as_str(), integer.radix()).ok());
        let expected = format!("allowed: {}{hint}", allowed_integers(allowed));
        self.assign(key, value, parsed.filter(|number| allowed.contains(number)), &expected, setting);
    }

    /// Reads a number of bytes, or a percentage as a string.
    pub(crate) fn memory_limit(&mut self, key: &'static str, setting: &mut MemoryLimit) {
        let Some(value) = self.take(key) else { return };
        let parsed = match value.get_ref() {
            DeValue::Integer(bytes) => {
                u64::from_str_radix(bytes.as_str(), bytes.radix()).ok().and_then(MemoryLimit::from_bytes)
            }
            text => text.as_str().and_then(MemoryLimit::parse),
        };
        self.assign(key, value, parsed, MEMORY_LIMIT_SYNTAX, setting);
    }

    /// Reads a date and time with an offset from UTC.
    pub(crate) fn time(&mut self, key: &'static str, setting: &mut Option<SystemTime>) {
        let Some(value) = self.take(key) else { return };
        let parsed = value.get_ref().as_datetime().and_then(parse_time).map(Some);
        self.assign(
            key,
            value,
            parsed,
            "allowed: a date and time with an offset, such as 2030-01-31T00:00:00Z",
            setting,
        );
    }

    pub(crate) fn boolean(&mut self, key: &'static str, setting: &mut bool) {
        let Some(value) = self.take(key) else { return };
        self.assign(key, value, value.get_ref().as_bool(), "allowed: true, false", setting);
    }

    pub(crate) fn level(&mut self, key: &'static str, setting: &mut LevelFilter) {
        let Some(value) = self.take(key) else { return };
        let expected = "allowed: \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"";
        self.assign(key, value, value.get_ref().as_str().and_then(parse_level), expected, setting);
    }

    /// Reads a list of IP addresses, networks and `unix`.
    pub(crate) fn peers(&mut self, key: &'static str, setting: &mut PeerSet) {
        self.list(key, PEER_SYNTAX, |text| setting.insert(text));
    }

    /// Reads a word out of a closed set.
    pub(crate) fn label<T: Label>(&mut self, key: &'static str, setting: &mut T) {
        let Some(value) = self.take(key) else { return };
        let words: Vec<_> = T::ALL.iter().map(|label| format!("\"{}\"", label.label())).collect();
        let expected = format!("allowed: {}", words.join(", "));
        self.assign(key, value, value.get_ref().as_str().and_then(T::parse), &expected, setting);
    }

    /// Appends the strings of a list; `parse` returns what to append, or `None` for an invalid string.
    pub(crate) fn strings(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Option<String>,
        expected: &str,
        setting: &mut Vec<String>,
    ) {
        self.list(key, expected, |text| {
            let parsed = parse(text);
            let is_valid = parsed.is_some();
            setting.extend(parsed);
            is_valid
        });
    }

    /// Reads a list of strings; `add` adds one, and returns whether it is valid.
    fn list(&mut self, key: &'static str, expected: &str, mut add: impl FnMut(&str) -> bool) {
        let Some(value) = self.take(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            self.invalid_value(key, value, "allowed: a list of strings");
            return;
        };
        for item in items.iter() {
            if !item.get_ref().as_str().is_some_and(&mut add) {
                self.invalid_value(key, item, expected);
            }
        }
    }

    /// Reads a string that must be present and valid. `span` is the position for the message if it is absent.
    pub(crate) fn required(
        &mut self,
        key: &'static str,
        span: &Range<usize>,
        is_valid: fn(&str) -> bool,
        expected: &str,
    ) -> Option<&'t str> {
        let Some(value) = self.take(key) else {
            let message = format!("{} is missing; {expected}", self.key_path(key));
            self.error_at(span.clone(), message);
            return None;
        };
        let text = value.get_ref().as_str().filter(|text| is_valid(text));
        if text.is_none() {
            self.invalid_value(key, value, expected);
        }
        text
    }

    /// Reads `[presence]`: its keys are roles, its values are policies.
    pub(crate) fn presence(&mut self, setting: &mut PresencePolicies) {
        for (key, value) in self.table.iter() {
            let name: &'t str = key.get_ref();
            self.known.push(name);
            let policy = value.get_ref().as_str().and_then(PresencePolicy::parse);
            match policy {
                Some(policy) if is_name(name) => setting.set(Role::from(name), policy),
                Some(_) => {
                    let message = format!("{}: a role is {NAME_SYNTAX}", self.key_path(name));
                    self.error_at(key.span(), message);
                }
                None if TOP_LEVEL_KEYS.contains(&name) => self.unknown_key(key),
                None => self.invalid_value(name, value, "allowed: \"allow\", \"replace\", \"reject\""),
            }
        }
    }

    fn assign<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parsed: Option<T>,
        expected: &str,
        setting: &mut T,
    ) {
        match parsed {
            Some(parsed) => *setting = parsed,
            None => self.invalid_value(key, value, expected),
        }
    }
}
