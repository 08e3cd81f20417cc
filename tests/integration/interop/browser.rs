//! A web page in headless Chromium.

use crate::common::process::kill_group;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::{TIMEOUT, tools};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

const PAGE: &str = include_str!("page.html");

/// A web server with one page, which sends its reports by POST.
struct PageServer {
    addr: SocketAddr,
    reports: Receiver<Value>,
}

impl PageServer {
    fn start() -> PageServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().unwrap();
        let (sender, reports) = channel();
        // A thread for each connection, since a browser also opens some without sending a request.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        PageServer { addr, reports }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The page's URL, with the gateway's URL and ann's token as parameters. Neither needs escapes.
    fn page(&self, gateway: &TestGateway) -> String {
        format!("{}/?gateway=ws://{}/ws&token={}", self.origin(), gateway.addr(), token("ann"))
    }

    fn report(&self, browser: &Browser) -> Value {
        let report = self.reports.recv_timeout(TIMEOUT);
        report.unwrap_or_else(|error| panic!("the page in process {} reports nothing: {error}", browser.child.id()))
    }
}

/// Serves one request: a POST is a report, any other request gets the page.
fn serve(stream: TcpStream, reports: &Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let is_report = request.starts_with("POST ");
    // Before the response: after it, the page may send its next report over another connection.
    if is_report {
        reports.send(serde_json::from_slice(&body).expect("JSON")).ok()?;
    }
    let content = if is_report { "" } else { PAGE };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length:";
    write!(reader.get_mut(), "{head} {}\r\n\r\n{content}", content.len()).ok()
}

/// Chromium with a page. Its processes are killed when dropped.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    const OPTIONS: &[&str] = &[
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-breakpad",
        // /dev/shm is small in containers.
        "--disable-dev-shm-usage",
        // No connection to other machines.
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ];

    fn open(page: &str) -> Option<Browser> {
        let mut command = Command::new(tools::require("chromium")?);
        let profile = tempfile::tempdir().expect("a temporary directory");
        command.args(Self::OPTIONS).arg(format!("--user-data-dir={}", profile.path().display())).arg(page);
        command.env("HOME", profile.path()).env("TMPDIR", profile.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Browser { child: command.spawn().expect("chromium starts"), _profile: profile })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

/// A gateway that allows the pages of one server.
fn start_gateway(server: &PageServer) -> TestGateway {
    // Allows for a browser that is slow to answer a close frame.
    let limits = "[limits]\nclose_timeout = \"20s\"";
    let settings = format!("{limits}\n[handshake]\nallowed_origins = [\"{}\"]", server.origin());
    TestGateway::start(&[("ann", "operator", "")], &settings)
}

#[test]
fn page_connects_with_a_token_and_sees_the_drain() {
    let server = PageServer::start();
    let gateway = start_gateway(&server);
    let Some(browser) = Browser::open(&server.page(&gateway)) else { return };
    assert_eq!(server.report(&browser), json!({"event": "open", "protocol": "aisopod.v1"}));
    let answer = server.report(&browser)["answer"].clone();
    assert_eq!((&answer["id"], &answer["result"]["presence_key"]), (&json!(7), &json!("operator:ann")), "{answer}");
    let (status, log) = gateway.0.stop();
    assert!(status.success(), "{log:#?}");
    let draining = server.report(&browser)["answer"].clone();
    assert_eq!(draining["method"], "gateway.draining", "{draining}");
    let closed = json!({"event": "close", "code": 1012, "reason": "draining", "wasClean": true});
    assert_eq!(server.report(&browser), closed);
    assert!(log.last().is_some_and(|line| line.contains(" stopped closed=1 ")), "{log:#?}");
}

#[test]
fn page_of_another_origin_is_rejected() {
    let (allowed, other) = (PageServer::start(), PageServer::start());
    let gateway = start_gateway(&allowed);
    let Some(browser) = Browser::open(&other.page(&gateway)) else { return };
    let failed = json!({"event": "close", "code": 1006, "reason": "", "wasClean": false});
    assert_eq!(other.report(&browser), failed);
    let status = gateway
        .wait_for_status("the rejected origin", |status| status["handshakes"]["failed"]["origin_not_allowed"] == 1);
    assert_eq!(status["handshakes"]["completed"], 0);
}

#[test]
fn page_sees_why_it_is_refused_if_the_gateway_refuses_in_band() {
    let server = PageServer::start();
    // The page's token is ann's.
    let settings = format!("[handshake]\nrefuse_in_band = true\nallowed_origins = [\"{}\"]", server.origin());
    let gateway = TestGateway::start(&[("bob", "operator", "")], &settings);
    let Some(browser) = Browser::open(&server.page(&gateway)) else { return };
    assert_eq!(server.report(&browser), json!({"event": "open", "protocol": "aisopod.v1"}));
    let closed = json!({"event": "close", "code": 4003, "reason": "unauthorized", "wasClean": true});
    assert_eq!(server.report(&browser), closed);
    let status = gateway.wait_for_status("the refusal", |status| status["handshakes"]["failed"]["unauthorized"] == 1);
    assert_eq!(status["handshakes"]["completed"], 0);
}
