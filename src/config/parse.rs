//! Parsing and checking single values.

use crate::clock::days_since_epoch;
use log::LevelFilter;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use toml_datetime::{Datetime, Offset};

/// The names and roles that [`is_name`] accepts, for messages.
pub const NAME_SYNTAX: &str = "1 to 64 letters, digits and . _ @ -";

/// The scopes that [`is_scope`] accepts, for messages.
pub const SCOPE_SYNTAX: &str = "1 to 160 printable ASCII characters other than spaces, double quotes and backslashes";

/// The entries that [`parse_origin`] accepts, for messages.
pub const ORIGIN_SYNTAX: &str = "allowed: \"*\", \"null\", \"file://\", or scheme and host without a path, such as \
                                 \"https://example.com\" or \"https://*.example.com\"";

/// Parses an entry of `allowed_origins`, or the header `Origin`. Returns it as browsers send it (RFC 6454, section 6.2):
/// in lower case and without the scheme's default port. The host may begin with `*.`, which stands for one or more
/// labels.
pub fn parse_origin(text: &str) -> Option<String> {
    if matches!(text, "*" | "null") {
        return Some(text.to_owned());
    }
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
    if !is_scheme {
        return None;
    }
    if scheme == "file" {
        return authority.is_empty().then_some(text);
    }
    let (name, port) = split_port(authority);
    let name = parse_origin_host(name)?;
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => Some(port.parse::<u16>().ok()?),
        Some(_) => return None,
    };
    Some(match port.filter(|port| Some(*port) != default_port(scheme)) {
        Some(port) => format!("{scheme}://{name}:{port}"),
        None => format!("{scheme}://{name}"),
    })
}

/// A host as browsers send it: an IPv6 address is in its shortest form. `None` if they never send it, for example
/// because it isn't ASCII.
fn parse_origin_host(name: &str) -> Option<String> {
    if let Some(address) = name.strip_prefix('[') {
        return Some(format!("[{}]", address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?));
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_name = !labels.is_empty() && labels.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|c| c.is_ascii_digit());
    (is_name && (!is_number || name.parse::<Ipv4Addr>().is_ok())).then(|| name.to_owned())
}

/// The port that a URL of this scheme has if it names none.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits `NAME:PORT` or `NAME`; an IPv6 address keeps its brackets.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

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

/// The system time of a date and time with an offset from UTC; `None` without an offset, or before 1970.
pub fn parse_time(time: &Datetime) -> Option<SystemTime> {
    let (date, clock) = (time.date?, time.time?);
    let offset_minutes = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_epoch(date.year.into(), date.month.into(), date.day.into());
    let minutes = days * 1440 + i64::from(clock.hour) * 60 + i64::from(clock.minute) - offset_minutes;
    let seconds = minutes * 60 + i64::from(clock.second.unwrap_or(0));
    Some(UNIX_EPOCH + Duration::from_secs(seconds.try_into().ok()?))
}

/// Formats a duration of whole milliseconds in the largest unit that divides it.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let whole = units.iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size));
    whole.map_or_else(|| "0s".to_owned(), |(size, unit)| format!("{}{unit}", millis / size))
}

/// The bounds of a duration, for messages.
pub(super) fn allowed_durations(allowed: &RangeInclusive<Duration>) -> String {
    format!("\"{}\" to \"{}\"", format_duration(*allowed.start()), format_duration(*allowed.end()))
}

/// The bounds of a whole number, for messages.
pub(super) fn allowed_integers(allowed: &RangeInclusive<usize>) -> String {
    format!("{} to {}", allowed.start(), allowed.end())
}

/// Whether `text` is a valid name or role. These appear unquoted in log lines and presence keys.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._@-".contains(&c))
}

/// Whether `text` is a valid scope: printable ASCII that needs no escaping in TOML and JSON.
pub fn is_scope(text: &str) -> bool {
    (1..=160).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic() && c != b'"' && c != b'\\')
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
    fn parse_origin_returns_what_browsers_send() {
        for (text, expected) in [
            ("*", "*"),
            ("null", "null"),
            ("file://", "file://"),
            ("https://Example.com:443", "https://example.com"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("wss://a.example:443", "wss://a.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(parse_origin(text).as_deref(), Some(expected), "{text}");
        }
        for never_sent in [
            "",
            "example.com",
            "https://",
            "https://example.com/",
            "https://user@example.com",
            "https://example.com:x",
            "https://example.com:99999",
            "https://*",
            "https://*.",
            "https://a.*.example.com",
            "https://*example.com",
            "https://example.com:*",
            "https://bücher.example",
            "http://127.1",
            "http://[::1",
            "://example.com",
            "file://host",
        ] {
            assert_eq!(parse_origin(never_sent), None, "{never_sent}");
        }
    }

    #[test]
    fn parse_time_needs_an_offset() {
        let seconds = |text: &str| {
            let time = parse_time(&text.parse().unwrap())?;
            Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds("2024-03-01T02:00:00.5+02:00"), Some(1_709_251_200));
        assert_eq!(seconds("2024-02-29T19:00:00-05:00"), Some(1_709_251_200));
        for wrong in ["2024-02-29T23:59:59", "2024-02-29", "23:59:59", "1969-12-31T00:00:00Z"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
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
