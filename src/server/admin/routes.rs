//! The routes of the admin API: which JSON-RPC method a request calls, and with which params.
//!
//! Independent of connections, credentials and responses.

use crate::http::percent::percent_decode;
use hyper::Method;
use serde_json::Value;
use std::borrow::Cow;

/// The JSON-RPC call for a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The JSON-RPC method.
    pub method: &'static str,
    /// Params from the path and the query: names, and values as JSON.
    params: Vec<(&'static str, String)>,
    /// Whether the other params are in the request's body.
    pub has_body: bool,
}

/// Why a request has no route.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No route has this path.
    NotFound,
    /// The path doesn't allow this HTTP method; the value of the header `Allow`.
    MethodNotAllowed(&'static str),
    /// The path or the query is malformed, or a query parameter is unknown.
    Malformed(Cow<'static, str>),
}

/// A path with at most one parameter, and its endpoints.
struct RoutePattern {
    prefix: &'static str,
    /// The name of the parameter between `prefix` and `suffix`; empty if there is none.
    param: &'static str,
    suffix: &'static str,
    endpoints: &'static [Endpoint],
    allow: &'static str,
}

/// What an HTTP method does at a path.
struct Endpoint {
    http: &'static str,
    method: &'static str,
    /// The allowed query parameters, in groups.
    query: &'static [&'static [&'static str]],
    has_body: bool,
}

const FILTER: &[&str] = &["role", "presence_key", "address", "min_idle_seconds", "min_connected_seconds", "health"];
const PAGE: &[&str] = &["limit", "cursor"];
const SORT: &[&str] = &["sort"];
const REASON: &[&str] = &["reason"];
const CONFIRM: &[&str] = &["confirm"];
const KEY: &[&str] = &["presence_key"];

/// The query parameters whose values are numbers; all others but `confirm` are strings.
const NUMBERS: &[&str] = &["min_idle_seconds", "min_connected_seconds", "limit"];

/// The routes; the first match wins.
const ROUTES: &[RoutePattern] = &[
    RoutePattern::exact(
        "/clients",
        &[
            Endpoint::query("GET", "clients.list", &[FILTER, PAGE, SORT]),
            Endpoint::query("DELETE", "clients.disconnect", &[FILTER, REASON, CONFIRM]),
        ],
        "GET, HEAD, DELETE",
    ),
    RoutePattern::exact(
        "/clients/closed",
        &[Endpoint::query("GET", "clients.closed", &[FILTER, REASON, PAGE])],
        "GET, HEAD",
    ),
    RoutePattern::exact("/nodes", &[Endpoint::query("GET", "node.list", &[KEY, PAGE])], "GET, HEAD"),
    RoutePattern {
        prefix: "/clients/",
        param: "conn_id",
        suffix: "/messages",
        endpoints: &[Endpoint::command("clients.send")],
        allow: "POST",
    },
    RoutePattern {
        prefix: "/topics/",
        param: "topic",
        suffix: "/messages",
        endpoints: &[Endpoint::command("gateway.publish")],
        allow: "POST",
    },
    RoutePattern {
        prefix: "/nodes/",
        param: "target",
        suffix: "/invoke",
        endpoints: &[Endpoint::command("node.invoke")],
        allow: "POST",
    },
    RoutePattern {
        prefix: "/clients/",
        param: "conn_id",
        suffix: "",
        endpoints: &[
            Endpoint::query("GET", "clients.get", &[]),
            Endpoint::query("DELETE", "clients.disconnect", &[REASON]),
        ],
        allow: "GET, HEAD, DELETE",
    },
];

impl RoutePattern {
    const fn exact(path: &'static str, endpoints: &'static [Endpoint], allow: &'static str) -> Self {
        RoutePattern { prefix: path, param: "", suffix: "", endpoints, allow }
    }

    /// The parameter's value if `path` matches; empty if the route has no parameter.
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        let value = path.strip_prefix(self.prefix)?.strip_suffix(self.suffix)?;
        (value.is_empty() == self.param.is_empty()).then_some(value)
    }
}

impl Endpoint {
    /// Calls a method whose params are in the path and the query.
    const fn query(http: &'static str, method: &'static str, query: &'static [&'static [&'static str]]) -> Self {
        Endpoint { http, method, query, has_body: false }
    }

    /// Calls a method with `POST`; its params are in the path and the body.
    const fn command(method: &'static str) -> Self {
        Endpoint { http: "POST", method, query: &[], has_body: true }
    }
}

fn find(path: &str) -> Option<(&'static RoutePattern, &str)> {
    ROUTES.iter().find_map(|known| Some((known, known.matches(path)?)))
}

/// The HTTP methods that a path allows, as a comma-separated list; `None` if there is nothing at this path.
pub fn allowed_methods(path: &str) -> Option<&'static str> {
    find(path).map(|(known, _)| known.allow)
}

/// Finds the JSON-RPC call for a request.
pub fn route(http: &Method, path: &str, query: &str) -> Result<Route, RouteError> {
    let (known, value) = find(path).ok_or(RouteError::NotFound)?;
    let http = if http == Method::HEAD { "GET" } else { http.as_str() };
    let endpoint = known.endpoints.iter().find(|endpoint| endpoint.http == http);
    let endpoint = endpoint.ok_or(RouteError::MethodNotAllowed(known.allow))?;
    let mut params = Vec::new();
    if !known.param.is_empty() {
        let value =
            percent_decode(value, false).ok_or(RouteError::Malformed("the path isn't percent-encoded UTF-8".into()))?;
        params.push((known.param, Value::from(&*value).to_string()));
    }
    let mut confirm = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let malformed = RouteError::Malformed("the query isn't percent-encoded UTF-8".into());
        let (name, value) = percent_decode(name, true).zip(percent_decode(value, true)).ok_or(malformed)?;
        let mut names = endpoint.query.iter().flat_map(|names| names.iter());
        let name = names.find(|known| **known == name).ok_or_else(|| unknown_parameter(&name))?;
        match (*name, &*value) {
            // The method itself rejects duplicates of other parameters.
            ("confirm", "true" | "false") if confirm.is_none() => confirm = Some(value == "true"),
            ("confirm", _) => return Err(RouteError::Malformed("confirm must be true or false, once".into())),
            (name, value) => params.push((name, to_json(name, value))),
        }
    }
    if endpoint.query.contains(&CONFIRM) {
        params.push(("dry_run", (confirm != Some(true)).to_string()));
    }
    Ok(Route { method: endpoint.method, params, has_body: endpoint.has_body })
}

fn unknown_parameter(name: &str) -> RouteError {
    /// Maximum bytes of the name in the message.
    const MAX_ECHOED: usize = 64;
    RouteError::Malformed(format!("unknown query parameter {}", &name[..name.floor_char_boundary(MAX_ECHOED)]).into())
}

impl Route {
    /// All params as a JSON object: those of the route, and the members of the body, which must be an object or empty.
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

/// A value of the query as JSON. An invalid number becomes a string, which the method rejects.
fn to_json(name: &str, value: &str) -> String {
    match value.parse::<serde_json::Number>() {
        Ok(number) if NUMBERS.contains(&name) => number.to_string(),
        _ => Value::from(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(http: Method, path: &str, query: &str, body: &str) -> (&'static str, String) {
        let route = route(&http, path, query).unwrap_or_else(|error| panic!("{path}?{query}: {error:?}"));
        (route.method, route.params(body).unwrap_or_else(|| panic!("{body}")))
    }

    #[test]
    fn routes_give_methods_and_params() {
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
    fn request_without_a_route_is_rejected_with_the_cause() {
        let get = |path, query| route(&Method::GET, path, query).unwrap_err();
        for path in ["/", "/client", "/clients/", "/topics//messages", "/nodes/", "/nodes/x", "/topics/x", "/clientsx"]
        {
            assert_eq!(get(path, ""), RouteError::NotFound, "{path}");
        }
        assert_eq!(get("/topics/x/messages", ""), RouteError::MethodNotAllowed("POST"));
        assert_eq!(route(&Method::POST, "/clients", ""), Err(RouteError::MethodNotAllowed("GET, HEAD, DELETE")));
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
