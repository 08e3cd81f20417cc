//! The operators' HTTP as a table: which method of JSON-RPC a request calls, and with which params.
//!
//! Knows nothing of connections, credentials or answers.

use hyper::Method;
use serde_json::Value;
use std::borrow::Cow;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The JSON-RPC method.
    pub method: &'static str,
    /// Params from path and query: their names, and their values as JSON.
    params: Vec<(&'static str, String)>,
    /// Whether the others are the request's body.
    pub has_body: bool,
}

/// Why a request has no route.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteError {
    /// There is no such path.
    NotFound,
    /// There is, but not for this method; those that there are, as `Allow` lists them.
    NotAllowed(&'static str),
    /// The query or the path can't be read, or has a name that isn't known here.
    Malformed(Cow<'static, str>),
}

/// A kind of path.
struct Path {
    start: &'static str,
    /// What stands between start and end is this param.
    param: &'static str,
    end: &'static str,
    operations: &'static [AdminRequest],
    allow: &'static str,
}

struct AdminRequest {
    http: &'static str,
    method: &'static str,
    /// The names that a query may have.
    query: &'static [&'static [&'static str]],
    has_body: bool,
}

const FILTER: &[&str] = &["role", "presence_key", "address", "min_idle_seconds", "min_connected_seconds", "health"];
const PAGE: &[&str] = &["limit", "cursor"];
const SORT: &[&str] = &["sort"];
const REASON: &[&str] = &["reason"];
const CONFIRM: &[&str] = &["confirm"];
const KEY: &[&str] = &["presence_key"];

/// Those whose values are numbers; all others are texts.
const NUMBERS: &[&str] = &["min_idle_seconds", "min_connected_seconds", "limit"];

/// More specific ones first.
const PATHS: &[Path] = &[
    Path::exact(
        "/clients",
        &[
            AdminRequest::ask("GET", "clients.list", &[FILTER, PAGE, SORT]),
            AdminRequest::ask("DELETE", "clients.disconnect", &[FILTER, REASON, CONFIRM]),
        ],
        "GET, HEAD, DELETE",
    ),
    Path::exact("/clients/closed", &[AdminRequest::ask("GET", "clients.closed", &[FILTER, REASON, PAGE])], "GET, HEAD"),
    Path::exact("/nodes", &[AdminRequest::ask("GET", "node.list", &[KEY, PAGE])], "GET, HEAD"),
    Path {
        start: "/clients/",
        param: "conn_id",
        end: "/messages",
        operations: &[AdminRequest::tell("clients.send")],
        allow: "POST",
    },
    Path {
        start: "/topics/",
        param: "topic",
        end: "/messages",
        operations: &[AdminRequest::tell("gateway.publish")],
        allow: "POST",
    },
    Path {
        start: "/nodes/",
        param: "target",
        end: "/invoke",
        operations: &[AdminRequest::tell("node.invoke")],
        allow: "POST",
    },
    Path {
        start: "/clients/",
        param: "conn_id",
        end: "",
        operations: &[
            AdminRequest::ask("GET", "clients.get", &[]),
            AdminRequest::ask("DELETE", "clients.disconnect", &[REASON]),
        ],
        allow: "GET, HEAD, DELETE",
    },
];

impl Path {
    const fn exact(path: &'static str, operations: &'static [AdminRequest], allow: &'static str) -> Self {
        Path { start: path, param: "", end: "", operations, allow }
    }

    /// What stands in the slot of the param.
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        let value = path.strip_prefix(self.start)?.strip_suffix(self.end)?;
        (value.is_empty() == self.param.is_empty()).then_some(value)
    }
}

impl AdminRequest {
    const fn ask(http: &'static str, method: &'static str, query: &'static [&'static [&'static str]]) -> Self {
        AdminRequest { http, method, query, has_body: false }
    }

    const fn tell(method: &'static str) -> Self {
        AdminRequest { http: "POST", method, query: &[], has_body: true }
    }
}

/// Finds what a request asks for.
pub fn route(http: &Method, path: &str, query: &str) -> Result<Route, RouteError> {
    let found = PATHS.iter().find_map(|known| Some((known, known.matches(path)?)));
    let (known, value) = found.ok_or(RouteError::NotFound)?;
    let http = if http == Method::HEAD { "GET" } else { http.as_str() };
    let operation = known.operations.iter().find(|operation| operation.http == http);
    let operation = operation.ok_or(RouteError::NotAllowed(known.allow))?;
    let mut params = Vec::new();
    if !known.param.is_empty() {
        let value = decode(value, false).ok_or(RouteError::Malformed("the path isn't percent-encoded UTF-8".into()))?;
        params.push((known.param, Value::from(&*value).to_string()));
    }
    let mut confirm = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let malformed = RouteError::Malformed("the query isn't percent-encoded UTF-8".into());
        let (name, value) = decode(name, true).zip(decode(value, true)).ok_or(malformed)?;
        let mut names = operation.query.iter().flat_map(|names| names.iter());
        let name = names.find(|known| **known == name).ok_or_else(|| unknown(&name))?;
        match (*name, &*value) {
            // As with the others, not even twice the same.
            ("confirm", "true" | "false") if confirm.is_none() => confirm = Some(value == "true"),
            ("confirm", _) => return Err(RouteError::Malformed("confirm: true or false, once".into())),
            (name, value) => params.push((name, to_json(name, value))),
        }
    }
    if operation.query.contains(&CONFIRM) {
        params.push(("dry_run", (confirm != Some(true)).to_string()));
    }
    Ok(Route { method: operation.method, params, has_body: operation.has_body })
}

fn unknown(name: &str) -> RouteError {
    /// Bytes of it that are shown.
    const SHOWN: usize = 64;
    RouteError::Malformed(format!("{}: unknown in this query", &name[..name.floor_char_boundary(SHOWN)]).into())
}

impl Route {
    /// All params as a JSON object, with the members of the body, which is one too, or empty.
    pub fn params(&self, body: &str) -> Option<String> {
        let members = self.params.iter().map(|(name, value)| format!(r#""{name}":{value}"#));
        let mut members = members.collect::<Vec<_>>().join(",");
        let body = body.trim_ascii();
        if !body.is_empty() {
            let inside = body.strip_prefix('{')?.strip_suffix('}')?.trim_ascii();
            if !inside.is_empty() && !members.is_empty() {
                members.push(',');
            }
            members.push_str(inside);
        }
        Some(format!("{{{members}}}"))
    }
}

/// A query's value as JSON; what should be a number and isn't is a string, which the method will not take.
fn to_json(name: &str, value: &str) -> String {
    match value.parse::<serde_json::Number>() {
        Ok(number) if NUMBERS.contains(&name) => number.to_string(),
        _ => Value::from(value).to_string(),
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1), and in queries the plus signs of forms.
fn decode(text: &str, is_query: bool) -> Option<Cow<'_, str>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn params(http: Method, path: &str, query: &str, body: &str) -> (&'static str, String) {
        let route = route(&http, path, query).unwrap_or_else(|error| panic!("{path}?{query}: {error:?}"));
        (route.method, route.params(body).unwrap_or_else(|| panic!("{body}")))
    }

    #[test]
    fn paths_and_queries_are_methods_and_params() {
        let (get, delete, post) = (Method::GET, Method::DELETE, Method::POST);
        #[rustfmt::skip]
        let cases = [
            (&get, "/clients", "", "", "clients.list", r#"{}"#),
            (&get, "/clients", "role=node&limit=5&", "", "clients.list", r#"{"role":"node","limit":5}"#),
            (&get, "/clients", "presence_key=node%3Aa+b&min_idle_seconds=x", "", "clients.list", r#"{"presence_key":"node:a b","min_idle_seconds":"x"}"#),
            (&get, "/clients/closed", "reason=normal", "", "clients.closed", r#"{"reason":"normal"}"#),
            (&get, "/clients/12", "", "", "clients.get", r#"{"conn_id":"12"}"#),
            (&Method::HEAD, "/clients/12", "", "", "clients.get", r#"{"conn_id":"12"}"#),
            (&delete, "/clients/12", "reason=%22", "", "clients.disconnect", r#"{"conn_id":"12","reason":"\""}"#),
            (&delete, "/clients", "role=node", "", "clients.disconnect", r#"{"role":"node","dry_run":true}"#),
            (&delete, "/clients", "%63onfirm=true&role=1", "", "clients.disconnect", r#"{"role":"1","dry_run":false}"#),
            (&post, "/clients/12/messages", "", r#" {"method":"x"} "#, "clients.send", r#"{"conn_id":"12","method":"x"}"#),
            (&post, "/topics/a/b/messages", "", r#"{"data":1}"#, "gateway.publish", r#"{"topic":"a/b","data":1}"#),
            (&post, "/nodes/node:a+b/invoke", "", "{ }", "node.invoke", r#"{"target":"node:a+b"}"#),
            (&get, "/nodes", "limit=1", "", "node.list", r#"{"limit":1}"#),
        ];
        for (http, path, query, body, method, expected) in cases {
            assert_eq!(params(http.clone(), path, query, body), (method, expected.to_owned()), "{path}?{query}");
        }
    }

    #[test]
    fn what_has_no_route_is_told_why() {
        let get = |path, query| route(&Method::GET, path, query).unwrap_err();
        for path in ["/", "/client", "/clients/", "/topics//messages", "/nodes/", "/nodes/x", "/topics/x", "/clientsx"]
        {
            assert_eq!(get(path, ""), RouteError::NotFound, "{path}");
        }
        assert_eq!(get("/topics/x/messages", ""), RouteError::NotAllowed("POST"));
        assert_eq!(route(&Method::POST, "/clients", ""), Err(RouteError::NotAllowed("GET, HEAD, DELETE")));
        for query in ["x=1", "confirm=true", "confirm=yes", "role=%", "role=%4", "role=%zz", "role=%ff", "conn_id=1"] {
            assert!(matches!(get("/clients", query), RouteError::Malformed(_)), "{query}");
        }
        assert!(matches!(get("/clients/%ff", ""), RouteError::Malformed(_)));
        for query in ["confirm=false&confirm=true", "confirm=true&confirm=true", "confirm=yes", "confirm"] {
            assert!(matches!(route(&Method::DELETE, "/clients", query), Err(RouteError::Malformed(_))), "{query}");
        }
        let route = route(&Method::POST, "/topics/x/messages", "").unwrap();
        for body in ["1", "[]", "{", "x}", "\"{}\""] {
            assert_eq!(route.params(body), None, "{body}");
        }
    }
}
