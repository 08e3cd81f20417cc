//! Handshakes: any method, target and headers are accepted, or refused with a complete response; none causes a panic.
//!
//! The input is a method, a target and headers, each in a line of its own.

#![no_main]

use aisopod_gateway::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use aisopod_gateway::config::Config;
use aisopod_gateway::internals::{LiveConfig, Presence, answer_handshake};
use hyper::Request;
use hyper::http::request::Parts;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let info = Arc::new(AuthInfo::new("ann", Role::Operator, []));
    let credential = Credential { info, digest: SecretDigest::of(b"t") };
    Config { auth: Authenticator::Token(vec![credential]), ..Config::new(1024) }
});

static PRESENCE: LazyLock<Arc<Presence>> = LazyLock::new(|| Arc::new(Presence::new(LiveConfig::new(CONFIG.clone()))));

fn parse(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut request = Request::builder().method(lines.next()?).uri(lines.next()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = parse(bytes) else { return };
    let (response, in_band) = answer_handshake(&parts, &CONFIG, &PRESENCE);
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    match status {
        Some("101") => assert!(response.ends_with("\r\n\r\n")),
        status => {
            assert!(status.is_some_and(|status| status.starts_with('4')), "{response}");
            assert!(response.contains("\r\n\r\n{\"error\":{\"code\":\""), "{response}");
            assert!(in_band.is_none_or(|response| response.starts_with(b"HTTP/1.1 101 ")));
        }
    }
});
