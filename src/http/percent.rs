//! Percent-encoding.

use std::borrow::Cow;

/// Decodes percent-encoding (RFC 3986, section 2.1); in a query also `+` as a space, as HTML forms send it. `None` if it
/// is malformed or the decoded bytes aren't UTF-8.
pub fn percent_decode(text: &str, is_query: bool) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let (mut decoded, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::from)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
