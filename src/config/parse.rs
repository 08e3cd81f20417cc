//! Parsing and checking single values.

use log::LevelFilter;
use std::time::Duration;

/// The names and roles that [`is_name`] accepts, for messages.
pub const NAME_SYNTAX: &str = "1 to 64 letters, digits and . _ @ -";

/// The scopes that [`is_scope`] accepts, for messages.
pub const SCOPE_SYNTAX: &str = "1 to 64 printable ASCII characters other than spaces, double quotes and backslashes";

/// Parses `off`, `error`, `warn`, `info`, `debug` or `trace`, in lower case only.
pub fn parse_level(text: &str) -> Option<LevelFilter> {
    let is_lower_case = text.bytes().all(|c| c.is_ascii_lowercase());
    text.parse().ok().filter(|_| is_lower_case)
}

/// Parses a whole number with a unit: `500ms`, `5s`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_at].parse().ok()?;
    let millis = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Formats a duration of whole milliseconds in the largest unit that divides it.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let whole = units.iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size));
    whole.map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", millis / size))
}

/// Whether `text` is a valid name or role. These appear unquoted in log lines and presence keys.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._@-".contains(&c))
}

/// Whether `text` is a valid scope: printable ASCII that needs no escaping in TOML and JSON.
pub fn is_scope(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic() && c != b'"' && c != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_duration_needs_a_whole_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        for wrong in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        for text in ["0s", "1ms", "1500ms", "5s", "90s", "2m", "1h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn parse_level_accepts_lower_case_only() {
        assert_eq!(parse_level("debug"), Some(LevelFilter::Debug));
        assert_eq!(parse_level("off"), Some(LevelFilter::Off));
        assert_eq!(parse_level("INFO"), None);
        assert_eq!(parse_level("verbose"), None);
    }
}
