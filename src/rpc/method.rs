//! A method, and the context of a call to it.

use super::node_calls::{Caller, NodeCallId};
use super::protocol::batch::Batch;
use super::protocol::error::{ErrorKind, RpcError};
use super::protocol::params::Params;
use super::protocol::responder::Responder;
use super::protocol::response::to_json;
use super::state::RpcState;
use crate::auth::AuthInfo;
use crate::client::GatewayClient;
use crate::runtime::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The scopes that methods require.
pub mod scope {
    pub const READ: &str = "clients:read";
    pub const WRITE: &str = "clients:write";
    pub const SUBSCRIBE: &str = "events:read";
    pub const PUBLISH: &str = "events:publish";
    pub const INVOKE: &str = "nodes:invoke";
    /// Every scope, and `*`, which grants them all.
    pub const ALL: &[&str] = &[READ, WRITE, SUBSCRIBE, PUBLISH, INVOKE, "*"];
    /// The scopes that can be granted for a pattern of topics or methods.
    pub const WITH_PATTERN: &[&str] = &[SUBSCRIBE, PUBLISH, INVOKE];
}

/// A method that clients can call.
pub struct Method {
    /// Its name in a request.
    pub name: &'static str,
    /// The scope that the caller needs, if any.
    scope: Option<&'static str>,
    /// What it does, or returns, for documents.
    pub about: &'static str,
    /// What the method checks by itself, for documents.
    checks: Option<&'static str>,
    run: for<'a> fn(Context<'a>) -> MethodResult<'a>,
}

impl Method {
    /// A method with the name, scope and description that are given.
    pub const fn new(
        name: &'static str,
        scope: Option<&'static str>,
        about: &'static str,
        run: for<'a> fn(Context<'a>) -> MethodResult<'a>,
    ) -> Self {
        Method { name, scope, about, checks: None, run }
    }

    /// The same method, which checks by itself what the caller may do.
    pub const fn checks(self, checks: &'static str) -> Self {
        Method { checks: Some(checks), ..self }
    }

    /// What the caller needs, for documents.
    pub fn access(&self) -> String {
        match (self.checks, self.scope) {
            (Some(checks), _) => checks.to_owned(),
            (None, Some(scope)) => format!("`{scope}`"),
            (None, None) => "none".to_owned(),
        }
    }

    /// Fails if `auth` doesn't have the method's scope, at least for some targets.
    pub fn check_scope(&self, auth: &AuthInfo) -> Result<(), RpcError> {
        self.scope.map_or(Ok(()), |scope| check_scope(auth, scope))
    }
}

/// The method with this name.
pub fn find<'a>(methods: &'a [Method], name: &str) -> Result<&'a Method, RpcError> {
    let not_found = || RpcError::new(ErrorKind::MethodNotFound, "Method not found");
    methods.iter().find(|method| method.name == name).ok_or_else(not_found)
}

/// Fails if `auth` doesn't have this scope.
pub fn check_scope(auth: &AuthInfo, scope: &'static str) -> Result<(), RpcError> {
    if auth.has_scope(scope) {
        return Ok(());
    }
    let message = format!("forbidden: this needs the scope {scope}");
    Err(RpcError::new(ErrorKind::Forbidden, message).with("scope", scope))
}

/// Fails if `auth` doesn't have this scope for this topic or method.
pub fn check_scope_for(auth: &AuthInfo, scope: &'static str, target: &str) -> Result<(), RpcError> {
    if auth.has_scope_for(scope, target) {
        return Ok(());
    }
    let message = format!("forbidden: this needs the scope {scope}, or {scope}:PATTERN with a pattern of {target}");
    Err(RpcError::new(ErrorKind::Forbidden, message).with("scope", scope))
}

/// What a method returns: its outcome, or the error for the caller.
pub type MethodResult<'a> = Result<Outcome<'a>, RpcError>;

/// The outcome of a method that didn't fail.
pub enum Outcome<'a> {
    /// Finished, with the result as JSON.
    Ready(Cow<'a, str>),
    /// Waits for a node, at most this long. The context's [`Responder`] sends the result.
    Deferred(NodeCallId, Duration),
    /// Continues in this future, which yields when the task's coop budget is spent. Its output is the result as JSON.
    /// Dropping it cancels the call.
    Future(BoxFuture<'static, String>),
}

/// The outcome of a finished method, with its result as JSON.
pub fn ready<'a>(result: &impl Serialize) -> MethodResult<'a> {
    Ok(Outcome::Ready(to_json(result).into()))
}

/// One call of a method.
pub struct Context<'a> {
    pub state: &'a Arc<RpcState>,
    /// All methods.
    pub methods: &'a [Method],
    pub source: Source<'a>,
    /// An object or an array; `None` if absent.
    pub params: Option<&'a RawValue>,
}

/// Where a call comes from.
pub enum Source<'a> {
    /// A client's message, or a request in its batch. A notification has no `id`.
    Client { client: &'a Arc<GatewayClient>, id: Option<&'a RawValue>, batch: Option<&'a Arc<Batch>> },
    /// A request over HTTP, with the responder for a deferred result.
    Http { auth: &'a Arc<AuthInfo>, responder: Responder },
}

impl<'a> Context<'a> {
    /// Runs the method with this name, if the caller has its scope.
    pub fn run(self, name: &str) -> MethodResult<'a> {
        let method = find(self.methods, name)?;
        method.check_scope(self.auth())?;
        (method.run)(self)
    }

    /// The caller's identity.
    pub fn auth(&self) -> &'a AuthInfo {
        match &self.source {
            Source::Client { client, .. } => &client.auth,
            Source::Http { auth, .. } => auth,
        }
    }

    /// The calling client.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] over HTTP, where there is none.
    pub fn client(&self) -> Result<&'a Arc<GatewayClient>, RpcError> {
        match &self.source {
            Source::Client { client, .. } => Ok(client),
            Source::Http { .. } => {
                Err(RpcError::new(ErrorKind::Forbidden, "this method can be called over a WebSocket only"))
            }
        }
    }

    /// The caller to which a call to a node is charged.
    pub fn caller(&self) -> Caller {
        match &self.source {
            Source::Client { client, .. } => Caller::Client(client.conn_id),
            Source::Http { auth, .. } => Caller::Credential(auth.presence_key.clone()),
        }
    }

    /// Prepares to defer the result. If the call is in a batch, marks that batch as the only batch of the client that
    /// may wait for nodes.
    ///
    /// # Errors
    /// The request's ID is too long to be kept, or another batch of the client waits for nodes.
    pub fn prepare_deferral(&self) -> Result<(), RpcError> {
        let Source::Client { id, batch, .. } = &self.source else { return Ok(()) };
        Responder::check_id(*id)?;
        batch.map_or(Ok(()), |batch| batch.start_waiting())
    }

    /// The responder for a deferred result.
    pub fn into_responder(self) -> Responder {
        match self.source {
            Source::Client { client, id, batch: None } => Responder::to_client(client, id),
            Source::Client { id, batch: Some(batch), .. } => Responder::to_batch(batch, id),
            Source::Http { responder, .. } => responder,
        }
    }

    /// The params, to be taken member by member.
    pub fn params(&self) -> Result<Params<'a>, RpcError> {
        Params::of(self.params)
    }

    /// Fails if there are params; for methods that take none.
    pub fn no_params(&self) -> Result<(), RpcError> {
        self.params()?.finish()
    }
}
