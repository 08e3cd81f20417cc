//! The NATS client protocol over WebSocket: a byte stream of commands. A command may span several WebSocket messages.

use crate::failure::Failure;
use crate::handshake::find;
use crate::payload::excerpt;

/// A server's command. INFO and +OK are skipped.
#[derive(Debug, PartialEq)]
pub enum Command<'a> {
    /// The server expects a PONG.
    Ping,
    /// The answer to our PING.
    Pong,
    Message(&'a [u8]),
}

/// What a client sends first. When the server's PONG arrives, the subscription is in effect.
pub fn greeting(subject: Option<&str>) -> Vec<u8> {
    let subscription = subject.map(|subject| format!("SUB {subject} 1\r\n")).unwrap_or_default();
    format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\n{subscription}PING\r\n").into_bytes()
}

pub fn publication(subject: &str, payload: &[u8]) -> Vec<u8> {
    [format!("PUB {subject} {}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

/// The parser of one connection's stream.
#[derive(Default)]
pub struct NatsReader {
    /// An incomplete command; nearly always empty.
    incomplete: Vec<u8>,
}

impl NatsReader {
    /// Calls `sink` with the commands that these bytes complete.
    pub fn read(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(Command<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.incomplete.is_empty() {
            let rest = read_all(bytes, &mut sink)?;
            self.incomplete.extend_from_slice(rest);
        } else {
            self.incomplete.extend_from_slice(bytes);
            let joined = std::mem::take(&mut self.incomplete);
            self.incomplete.extend_from_slice(read_all(&joined, &mut sink)?);
        }
        Ok(())
    }
}

/// Reads complete commands, and returns the bytes after them.
fn read_all<'a>(
    mut bytes: &'a [u8],
    sink: &mut impl FnMut(Command<'_>) -> Result<(), Failure>,
) -> Result<&'a [u8], Failure> {
    while let Some(end) = find(bytes, b"\r\n") {
        let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
        let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        bytes = match name {
            b"INFO" | b"+OK" => rest,
            b"PING" => {
                sink(Command::Ping)?;
                rest
            }
            b"PONG" => {
                sink(Command::Pong)?;
                rest
            }
            b"MSG" => {
                let length = payload_length(line)?;
                if rest.len() < length + 2 {
                    return Ok(bytes);
                }
                sink(Command::Message(&rest[..length]))?;
                &rest[length + 2..]
            }
            _ => return Err(Failure::of("not a NATS command", excerpt(line))),
        };
    }
    Ok(bytes)
}

/// The last word of `MSG subject sid [reply-to] length`.
fn payload_length(line: &[u8]) -> Result<usize, Failure> {
    let word = line.rsplit(|byte| *byte == b' ').next();
    let length = word.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    length.ok_or_else(|| Failure::of("a NATS message without a length", excerpt(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<String>, Failure> {
        let (mut reader, mut commands) = (NatsReader::default(), Vec::new());
        for chunk in chunks {
            reader.read(chunk, |command| {
                commands.push(format!("{command:?}"));
                Ok(())
            })?;
        }
        Ok(commands)
    }

    #[test]
    fn commands_are_read_from_every_split() {
        let stream =
            b"INFO {\"a\":1}\r\nPING\r\nMSG figures 1 4\r\na\r\nb\r\n+OK\r\nPONG\r\nMSG figures 1 reply 0\r\n\r\n";
        let expected = [
            format!("{:?}", Command::Ping),
            format!("{:?}", Command::Message(b"a\r\nb")),
            format!("{:?}", Command::Pong),
            format!("{:?}", Command::Message(b"")),
        ];
        for split in 0..=stream.len() {
            let (head, tail) = stream.split_at(split);
            assert_eq!(read(&[head, tail]).unwrap(), expected, "{split}");
        }
    }

    #[test]
    fn errors_are_reported() {
        assert!(read(&[b"-ERR 'Authorization Violation'\r\n"]).unwrap_err().to_string().contains("Violation"));
        assert!(read(&[b"MSG figures 1 x\r\n"]).unwrap_err().to_string().contains("length"));
    }
}
