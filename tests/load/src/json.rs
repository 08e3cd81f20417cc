//! The JSON line, by hand: names in the order in which they were added.

use std::fmt::{self, Write};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Not known, or not applicable.
    Null,
    /// True or false.
    Bool(bool),
    /// A count.
    Integer(i64),
    /// A measure; what isn't finite is written as null.
    Number(f64),
    /// A string.
    Text(String),
    /// Names and values, in this order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An empty object.
    pub fn object() -> Json {
        Json::Object(Vec::new())
    }

    /// Adds a name and its value to an object.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<Json>) {
        if let Json::Object(members) = self {
            members.push((name.into(), value.into()));
        }
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Json {
            fn from(value: $integer) -> Json {
                Json::Integer(value as i64)
            }
        }
    )*};
}

from_integers!(u16 u32 u64 usize i64);

impl From<f64> for Json {
    fn from(value: f64) -> Json {
        Json::Number(value)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Json {
        Json::Text(value.to_owned())
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Bool(value) => write!(f, "{value}"),
            Json::Integer(value) => write!(f, "{value}"),
            // Nanoseconds of a second are the finest that is measured.
            Json::Number(value) if value.is_finite() => write!(f, "{}", (value * 1e9).round() / 1e9),
            Json::Null | Json::Number(_) => f.write_str("null"),
            Json::Text(text) => quoted(f, text),
            Json::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quoted(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\0'..='\x1f' => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut inner = Json::object();
        inner.add("quote \" and \n", "back\\slash");
        let mut json = Json::object();
        json.add("inner", inner);
        json.add("none", None::<u64>);
        json.add("small", 0.000_000_001);
        json.add("not finite", f64::NAN);
        json.add("many", u32::MAX);
        let read: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(read["inner"]["quote \" and \n"], "back\\slash");
        assert!(read["none"].is_null() && read["not finite"].is_null());
        assert_eq!(read["small"], 1e-9);
        assert_eq!(read["many"], u32::MAX);
        assert!(json.to_string().starts_with("{\"inner\":{"));
    }
}
