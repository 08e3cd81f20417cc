//! The hyper service: routes requests to `/ws`, `/status`, the health checks and the admin API.

use super::admin::routes::{Route, RouteError, allowed_methods, route};
use super::admin::{self, AdminRequest};
use super::admission::{ListenerRole, Slot};
use super::client_addr::ClientAddr;
use super::http_state::{HttpState, Upgrade};
use super::state::ServerState;
use crate::budget;
use crate::client::RemoteAddr;
use crate::config::Config;
use crate::http::cors::{allow_origin, allowed_origin, is_preflight, preflight};
use crate::http::error::HttpError;
use crate::http::handshake::{self, AcceptedHandshake};
use crate::http::host::host_of;
use crate::http::response::{json, with_close};
use crate::memory::Charge;
use crate::rpc::router::Router;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// The paths outside the admin API, except `/ws`.
const PLAIN_PATHS: &[&str] = &["/healthz", "/readyz", "/status"];

/// The methods allowed at these.
const READ_ONLY: &str = "GET, HEAD";

/// Units of the budget that a request takes: most of it, so that other connections are served between two pipelined
/// requests. One of 14 KB takes 40 µs.
const UNITS_PER_REQUEST: usize = 100;

/// The response to a request.
pub enum ServiceFuture {
    /// The 101 response to a handshake, which the connection writes itself: this is never ready.
    Upgrading,
    /// A response that is ready once the task has budget; `None` after it was returned.
    Ready(Option<Response<String>>),
    /// A future of the admin API, which may read a body or wait for a node.
    Boxed(Pin<Box<dyn Future<Output = Response<String>> + Send>>),
}

impl Future for ServiceFuture {
    type Output = Result<Response<String>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ServiceFuture::Upgrading => Poll::Pending,
            ServiceFuture::Ready(response) => {
                ready!(budget::poll_take(cx));
                Poll::Ready(Ok(response.take().expect("a future isn't polled after completion")))
            }
            ServiceFuture::Boxed(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

/// Handles one request.
pub fn handle(
    server: &Arc<ServerState>,
    http: &Arc<HttpState>,
    slot: &Slot,
    peer: RemoteAddr,
    request: Request<Incoming>,
) -> ServiceFuture {
    let (parts, body) = request.into_parts();
    budget::charge_units(UNITS_PER_REQUEST);
    let config = server.config.load();
    let page_origin =
        allowed_origin(&parts.headers, &config.handshake.allowed_origins).filter(|_| slot.role.serves_admin());
    if parts.uri.path() == "/ws" && slot.role.serves_clients() {
        let client = ClientAddr::of(server, &config, &parts.headers, peer);
        let result = accept_handshake(server, &config, slot, peer, client, &parts);
        let (upgrade, response) = finish_handshake(server, &config, client.remote_addr, &parts, result);
        http.on_handshake_response(Instant::now() + config.handshake.timeout, upgrade);
        return response;
    }
    // Called first, so that `/status` doesn't count this connection as a handshake in progress.
    let may_keep_alive = finish_plain(server, http, slot.may_upgrade());
    let response = match find_target(server, slot, &parts) {
        Ok(Target::Plain(response)) => response,
        Ok(Target::Admin(route, router)) => {
            let client = ClientAddr::of(server, &config, &parts.headers, peer);
            let request = AdminRequest { route, parts, body, client };
            let response = serve_admin(server.clone(), http.clone(), router, request, slot.may_upgrade());
            return ServiceFuture::Boxed(Box::pin(async move { allow_page(response.await, page_origin) }));
        }
        Err(error) => error.into_response(),
    };
    let response = allow_page(response, page_origin);
    ServiceFuture::Ready(Some(if may_keep_alive { response } else { with_close(response) }))
}

/// Lets a page of this origin, if there is one, read the response.
fn allow_page(mut response: Response<String>, origin: Option<HeaderValue>) -> Response<String> {
    if let Some(origin) = origin {
        allow_origin(&mut response, origin);
    }
    response
}

async fn serve_admin(
    server: Arc<ServerState>,
    http: Arc<HttpState>,
    router: Arc<Router>,
    request: AdminRequest,
    may_keep_alive: bool,
) -> Response<String> {
    let max_admin_time = {
        let config = server.config.load();
        config.handshake.timeout + config.handshake.idle_timeout
    };
    http.on_admin_request(Instant::now() + max_admin_time);
    let response = admin::serve(&server, &router, &http, request).await;
    http.on_response(Charge::new(&server.memory, response.body().len() as u64));
    if finish_plain(&server, &http, may_keep_alive) { response } else { with_close(response) }
}

/// Records the response to a plain request. Returns whether the connection may stay open for the next one: not while all
/// slots of `ops.listen` are taken, for which others may be waiting.
fn finish_plain(server: &ServerState, http: &HttpState, may_keep_alive: bool) -> bool {
    let deadline = Instant::now() + server.config.load().handshake.idle_timeout;
    let keep_alive = || may_keep_alive.then(|| server.connections.try_keep_alive()).flatten();
    http.on_plain_response(deadline, keep_alive)
        && !(http.is_admin() && server.connections.is_full(ListenerRole::Admin))
}

/// What the connection does after the response to a handshake, and the response.
fn finish_handshake(
    server: &ServerState,
    config: &Config,
    remote_addr: RemoteAddr,
    request: &Parts,
    result: Result<AcceptedHandshake, HttpError>,
) -> (Option<Upgrade>, ServiceFuture) {
    match result {
        Ok(accepted) => (Some(Upgrade::Client { accepted, remote_addr }), ServiceFuture::Upgrading),
        Err(error) => {
            let in_band = config.handshake.refuse_in_band.then(|| handshake::refuse_in_band(request, &error)).flatten();
            let (status, cause) = (error.status.as_u16(), error.handshake_failure());
            let line = format_args!("handshake refused remote_addr={remote_addr} status={status} cause={cause}");
            server.refusals.log(cause.label(), line);
            server.handshakes.failed.add(cause);
            match in_band {
                Some(response) => (Some(Upgrade::Refusal(response)), ServiceFuture::Upgrading),
                None => (None, ServiceFuture::Ready(Some(with_close(error.into_response())))),
            }
        }
    }
}

fn accept_handshake(
    server: &ServerState,
    config: &Config,
    slot: &Slot,
    peer: RemoteAddr,
    client: ClientAddr,
    request: &Parts,
) -> Result<AcceptedHandshake, HttpError> {
    handshake::check_query(request)?;
    let host = host_of(request)?;
    if !is_read_only(&request.method) {
        // HEAD passes this check and gets 426, like a GET without `Upgrade`.
        return Err(HttpError::method_not_allowed("GET"));
    }
    if let Some(exceeded) = slot.exceeded_limit {
        return Err(HttpError::address_limit(exceeded));
    }
    if client.remote_addr != peer {
        slot.set_address(server.addresses.connect(client.remote_addr).map_err(HttpError::address_limit)?);
    }
    let authenticate = || client.authenticate(server, config, &request.headers);
    let accepted = handshake::accept(request, host, config, &server.presence, authenticate)?;
    // Also during a drain: the client is then closed at once, with a code that says to come back.
    if server.connections.try_promote(slot) { Ok(accepted) } else { Err(HttpError::full()) }
}

/// How a request outside `/ws` is answered.
enum Target {
    Plain(Response<String>),
    Admin(Route, Arc<Router>),
}

fn find_target(server: &ServerState, slot: &Slot, request: &Parts) -> Result<Target, HttpError> {
    handshake::check_query(request)?;
    host_of(request)?;
    if is_preflight(request) && slot.role.serves_admin() {
        return answer_preflight(server, request);
    }
    let body = match request.uri.path() {
        "/healthz" => r#"{"status":"ok"}"#.to_owned(),
        "/readyz" if server.is_ready() => r#"{"status":"ready"}"#.to_owned(),
        "/readyz" => return check_method(request).and(Err(HttpError::draining())),
        "/status" if slot.role.serves_admin() => {
            // Rendering costs more than the other paths.
            check_method(request)?;
            server.status()
        }
        _ => return find_admin_route(server, slot, request),
    };
    check_method(request)?;
    Ok(Target::Plain(json(StatusCode::OK, body)))
}

fn answer_preflight(server: &ServerState, request: &Parts) -> Result<Target, HttpError> {
    let methods = match request.uri.path() {
        path if PLAIN_PATHS.contains(&path) => READ_ONLY,
        path => allowed_methods(path).filter(|_| server.router.is_some()).ok_or_else(HttpError::not_found)?,
    };
    preflight(request, methods, &server.config.load().handshake.allowed_origins).map(Target::Plain)
}

fn find_admin_route(server: &ServerState, slot: &Slot, request: &Parts) -> Result<Target, HttpError> {
    let router = server.router.as_ref().filter(|_| slot.role.serves_admin()).ok_or_else(HttpError::not_found)?;
    match route(&request.method, request.uri.path(), request.uri.query().unwrap_or_default()) {
        Ok(route) => Ok(Target::Admin(route, router.clone())),
        Err(RouteError::NotFound) => Err(HttpError::not_found()),
        Err(RouteError::MethodNotAllowed(allow)) => Err(HttpError::method_not_allowed(allow)),
        Err(RouteError::Malformed(message)) => Err(HttpError::bad_request(message)),
    }
}

fn check_method(request: &Parts) -> Result<(), HttpError> {
    if is_read_only(&request.method) { Ok(()) } else { Err(HttpError::method_not_allowed(READ_ONLY)) }
}

fn is_read_only(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
