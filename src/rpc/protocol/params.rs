//! The params of a call. They are read strictly: a method takes each member by its name, and an unknown or invalid
//! member is an error that names it.

use super::error::{ErrorKind, RpcError};
use super::message::CowStr;
use crate::client::ConnId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The most members that params may have; no method takes that many. Bounds the search for duplicate names.
const MAX_MEMBERS: usize = 32;

/// The members of an object that haven't been taken yet.
pub struct Params<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Params<'a> {
    /// Parses params. Absent params and an empty array are equivalent to an empty object.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParams`] unless they are an object of at most [`MAX_MEMBERS`] members with unique names.
    pub fn of(params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let invalid = |message: &'static str| RpcError::new(ErrorKind::InvalidParams, message);
        let no_object = || invalid("Invalid params: must be an object");
        let Some(params) = params.map(RawValue::get) else { return Ok(Params(Vec::new())) };
        if params.starts_with('[') {
            let inside = params[1..params.len() - 1].trim_ascii();
            return if inside.is_empty() { Ok(Params(Vec::new())) } else { Err(no_object()) };
        }
        // A name with an unpaired surrogate is JSON, but no Rust string.
        let Members(members) = serde_json::from_str(params).map_err(|_| {
            if params.starts_with('{') {
                invalid("Invalid params: a member's name isn't valid Unicode")
            } else {
                no_object()
            }
        })?;
        let members = members.ok_or(invalid("Invalid params: too many members"))?;
        for (index, (name, _)) in members.iter().enumerate() {
            if members[..index].iter().any(|(other, _)| other == name) {
                return Err(RpcError::invalid_member(name, "duplicate member"));
            }
        }
        Ok(Params(members))
    }

    /// Takes a member as JSON text.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Takes a member of type `T`; `None` if it is absent. `expected` describes valid values.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParams`] for another type, `null` included. The methods below fail likewise, but
    /// [`cursor`](Self::cursor) accepts `null`.
    pub fn optional<T: Deserialize<'a>>(&mut self, name: &str, expected: &str) -> Result<Option<T>, RpcError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| RpcError::unexpected_member(name, expected))
    }

    /// Takes a string and converts it; `parse` returns `None` for an invalid one.
    pub fn checked<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, RpcError> {
        let Some(CowStr(text)) = self.optional(name, expected)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| RpcError::unexpected_member(name, expected))
    }

    /// Takes the member `cursor`. `null`, the `next_cursor` of the last page, counts as absent.
    pub fn cursor<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, RpcError> {
        const NAME: &str = "cursor";
        let index = self.0.iter().position(|(name, value)| name == NAME && value.get() == "null");
        if let Some(index) = index {
            self.0.swap_remove(index);
        }
        self.checked(NAME, "the next_cursor of a page of this list, in the same order", parse)
    }

    /// Takes a string.
    pub fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, RpcError> {
        Ok(self.optional::<CowStr<'a>>(name, "a string")?.map(|text| text.0))
    }

    /// Takes a connection ID.
    pub fn conn_id(&mut self, name: &str) -> Result<Option<ConnId>, RpcError> {
        self.checked(name, "the ID of a connection", ConnId::parse)
    }

    /// Takes a number of seconds, `min` to `max` inclusive.
    pub fn seconds(&mut self, name: &str, min: f64, max: f64) -> Result<Option<Duration>, RpcError> {
        let expected = format!("a number of seconds, {min} to {max}");
        let Some(seconds) = self.optional::<f64>(name, &expected)? else { return Ok(None) };
        if !(min..=max).contains(&seconds) {
            return Err(RpcError::unexpected_member(name, &expected));
        }
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    /// Checks that all members were taken.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParams`] if a member was not taken: the method doesn't know it.
    pub fn finish(self) -> Result<(), RpcError> {
        match self.0.first() {
            Some((name, _)) => Err(RpcError::invalid_member(name, "unknown member")),
            None => Ok(()),
        }
    }
}

/// The value of a required member.
///
/// # Errors
/// [`ErrorKind::InvalidParams`] if it is absent.
pub fn required<T>(value: Option<T>, name: &str) -> Result<T, RpcError> {
    value.ok_or_else(|| RpcError::invalid_member(name, "missing"))
}

/// The members of an object in their order; `None` if there are more than [`MAX_MEMBERS`].
struct Members<'a>(Option<Vec<(Cow<'a, str>, &'a RawValue)>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((CowStr(name), value)) = map.next_entry()? {
                    if members.len() == MAX_MEMBERS {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(Members(None));
                    }
                    members.push((name, value));
                }
                Ok(Members(Some(members)))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Result<Params<'_>, RpcError> {
        Params::of(Some(serde_json::from_str(text).unwrap()))
    }

    fn member(error: RpcError) -> serde_json::Value {
        assert_eq!(error.kind, ErrorKind::InvalidParams);
        error.data()["member"].clone()
    }

    #[test]
    fn members_are_taken_by_name_and_the_rest_is_unknown() {
        let mut all = params(r#"{"b": [1, 2.0], "\u0061": "x\ny", "c": 7}"#).unwrap();
        assert_eq!(all.raw("b").unwrap().get(), "[1, 2.0]");
        assert_eq!(all.text("a").unwrap().unwrap(), "x\ny");
        assert_eq!(all.text("d").unwrap(), None);
        assert_eq!(member(all.finish().unwrap_err()), "c");
        for empty in ["[]", "{}", "[ ]", "{\n}"] {
            assert!(params(empty).unwrap().finish().is_ok(), "{empty}");
        }
        assert!(Params::of(None).unwrap().finish().is_ok());
        assert!(params("[1]").is_err() && params("[[]]").is_err());
        let many = |count: u32| (0..count).map(|index| format!("\"{index}\":0")).collect::<Vec<_>>().join(",");
        assert!(params(&format!("{{{}}}", many(32))).is_ok() && params(&format!("{{{}}}", many(33))).is_err());
    }

    #[test]
    fn invalid_member_is_named() {
        for text in [r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":["x"]}"#, r#"{"a":"x","a":"x"}"#] {
            let result = params(text).and_then(|mut all| all.text("a"));
            assert_eq!(member(result.unwrap_err()), "a", "{text}");
        }
        for text in [r#"{"t":"1"}"#, r#"{"t":-1}"#, r#"{"t":1e400}"#, r#"{"t":11}"#] {
            let result = params(text).and_then(|mut all| all.seconds("t", 0.0, 10.0));
            assert_eq!(member(result.unwrap_err()), "t", "{text}");
        }
        let seconds = params(r#"{"t":0.25}"#).unwrap().seconds("t", 0.0, 10.0).unwrap();
        assert_eq!(seconds, Some(Duration::from_millis(250)));
        assert_eq!(member(required(None::<u8>, "a").unwrap_err()), "a");
    }
}
