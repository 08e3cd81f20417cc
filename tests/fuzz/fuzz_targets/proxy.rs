//! PROXY protocol headers and forwarding headers: a header's length is within its bytes, further bytes don't change it, and
//! what stands to the left of an address that isn't trusted changes nothing.

#![no_main]

use aisopod_gateway::config::{Config, ForwardingHeader};
use aisopod_gateway::internals::{RemoteAddr, client_addr, proxy_protocol};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(header)) = proxy_protocol::parse(bytes) {
        assert!(header.len <= bytes.len());
        let again = proxy_protocol::parse(&bytes[..header.len]);
        assert!(again.is_ok_and(|again| again.is_some_and(|again| again.client == header.client)));
    }
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut proxy = Config::new(1024).proxy;
    assert!(proxy.trusted.insert("10.0.0.0/8"));
    let peer = RemoteAddr::Tcp(([10, 0, 0, 1], 1).into());
    for (header, last) in
        [(ForwardingHeader::XForwardedFor, ", 192.0.2.1"), (ForwardingHeader::Forwarded, ", for=192.0.2.1")]
    {
        proxy.header = header;
        let name = HeaderName::from_static(header.label());
        let addr = |values: &[&HeaderValue]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| _ = headers.append(&name, (*value).clone()));
            client_addr(&headers, peer, &proxy)
        };
        addr(&[&value]);
        let client = RemoteAddr::Tcp(([192, 0, 2, 1], 0).into());
        let appended = HeaderValue::from_bytes(&[bytes, last.as_bytes()].concat()).expect("both are valid");
        assert_eq!(addr(&[&appended]), client, "{appended:?}");
        assert_eq!(addr(&[&value, &HeaderValue::from_static(&last[2..])]), client, "{value:?}");
    }
});
