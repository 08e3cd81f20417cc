//! Limits on the events and answers that one client sends to others: valid JSON may still make another program's parser
//! fail or overflow its stack.

/// Levels of arrays and objects that a value may have. The message around it adds up to two, and some parsers stop at
/// 128.
pub const MAX_DEPTH: usize = 125;

/// Checks a valid JSON text.
///
/// # Errors
/// What is wrong with it: more than [`MAX_DEPTH`] levels, or an unpaired surrogate, such as `\ud800` alone.
pub fn check(json: &str) -> Result<(), String> {
    let (mut depth, mut rest) = (0_usize, json.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => rest = skip_string(rest).ok_or("has an unpaired surrogate")?,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("has more than {MAX_DEPTH} levels"));
        }
    }
    Ok(())
}

/// The bytes after a string of which the first quote has been read; `None` if the string has an unpaired surrogate.
fn skip_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if rest[end] == b'"' {
            return Some(&rest[end + 1..]);
        }
        let escape = &rest[end..];
        rest = match code_unit(escape) {
            None => escape.get(2..)?,
            Some(0xd800..=0xdbff) if matches!(code_unit(&escape[6..]), Some(0xdc00..=0xdfff)) => &escape[12..],
            Some(0xd800..=0xdfff) => return None,
            Some(_) => &escape[6..],
        };
    }
}

/// The UTF-16 code unit of an escape `\uXXXX` at the start of `text`; `None` for other text.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpaired_surrogate_is_found() {
        for valid in
            [r#""\ud83d\ude00""#, r#"{"\u00e9":"\"\\ud800"}"#, r#"["\\\\ud800","\n"]"#, "1", r#""\uD83D\uDE00x""#]
        {
            assert_eq!(check(valid), Ok(()), "{valid}");
        }
        for invalid in
            [r#""\ud800""#, r#"{"\udc00":1}"#, r#"["a","\ude00\ud83d"]"#, r#""\ud800\n""#, r#""\uD800\ud800\udc00""#]
        {
            assert_eq!(check(invalid), Err("has an unpaired surrogate".to_owned()), "{invalid}");
        }
    }

    #[test]
    fn levels_of_arrays_and_objects_are_counted_outside_of_strings() {
        let nested = |levels: usize| format!("{}\"[[{{\"{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err("has more than 125 levels".to_owned()));
        assert_eq!(check(&format!("[{}0]", "{},".repeat(1000))), Ok(()));
    }
}
