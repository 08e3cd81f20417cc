//! JSON arrays of bounded length.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Why a text isn't the expected array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// It has more elements than allowed. Those beyond the first one too many weren't read.
    TooLong,
    /// It is no array, or one of its elements has another type.
    Invalid,
}

/// Parses an array of up to `max_len` elements.
pub fn parse_array<'a, T: Deserialize<'a>>(text: &'a str, max_len: usize) -> Result<Vec<T>, ArrayError> {
    let (mut deserializer, mut is_longer) = (serde_json::Deserializer::from_str(text), false);
    let visitor = Elements { max_len, is_longer: &mut is_longer, element: PhantomData };
    let elements = deserializer.deserialize_seq(visitor);
    match elements.and_then(|elements| deserializer.end().map(|()| elements)) {
        Ok(elements) => Ok(elements),
        Err(_) if is_longer => Err(ArrayError::TooLong),
        Err(_) => Err(ArrayError::Invalid),
    }
}

/// Collects the elements of an array. Fails at the first one beyond `max_len`, and then sets `is_longer`.
struct Elements<'l, T> {
    max_len: usize,
    is_longer: &'l mut bool,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() == self.max_len {
                *self.is_longer = true;
                return Err(A::Error::custom("too many elements"));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_ends_at_the_first_element_too_many() {
        assert_eq!(parse_array::<u8>("[1, 2]", 2), Ok(vec![1, 2]));
        assert_eq!(parse_array::<u8>("[]", 0), Ok(vec![]));
        // What follows the element too many isn't even JSON.
        assert_eq!(parse_array::<u8>("[1, 2, 3, !", 2), Err(ArrayError::TooLong));
        for invalid in ["[1, 2", "[1, 2] 3", "[1, \"2\"]", "{}", "1", ""] {
            assert_eq!(parse_array::<u8>(invalid, 2), Err(ArrayError::Invalid), "{invalid}");
        }
    }
}
