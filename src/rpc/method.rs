//! One call of a method: by whom, with what, and where its answer goes.

use super::node_calls::{Caller, NodeCallId};
use super::state::RpcState;
use super::work::Work;
use crate::auth::AuthInfo;
use crate::client::GatewayClient;
use crate::rpc::protocol::batch::{Batch, check_kept_id};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::message::to_json;
use crate::rpc::protocol::params::Params;
use crate::rpc::protocol::responder::{Outcome, Responder};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::Receiver;

pub use scope::ALL as SCOPES;

/// What a caller may be allowed, beside what everybody may.
pub(crate) mod scope {
    pub const READ: &str = "clients:read";
    pub const WRITE: &str = "clients:write";
    pub const PUBLISH: &str = "events:publish";
    pub const INVOKE: &str = "nodes:invoke";
    /// All of them, and that for everything.
    pub const ALL: &[&str] = &[READ, WRITE, PUBLISH, INVOKE, "*"];
}

/// One method.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// What the caller must be allowed.
    scope: Option<&'static str>,
    run: for<'a> fn(&Call<'a>) -> CallResult<'a>,
}

impl Method {
    pub(crate) const fn new(
        name: &'static str,
        scope: Option<&'static str>,
        run: for<'a> fn(&Call<'a>) -> CallResult<'a>,
    ) -> Self {
        Method { name, scope, run }
    }
}

/// One call of a method.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a Arc<RpcState>,
    /// All that there are.
    pub(crate) methods: &'a [Method],
    pub(crate) origin: Origin<'a>,
    /// An object or an array, or nothing.
    pub(crate) params: Option<&'a RawValue>,
}

/// Where a call comes from.
pub(crate) enum Origin<'a> {
    /// A client's message, or one in a batch.
    Client { client: &'a Arc<GatewayClient>, id: Option<&'a RawValue>, batch: Option<&'a Arc<Batch>> },
    /// A request over HTTP, which waits for an answer that comes later.
    Http { auth: &'a Arc<AuthInfo>, later: &'a Later },
}

/// An answer over HTTP that comes later, and the call that it is for.
#[derive(Default)]
pub(crate) struct Later {
    pub(crate) answer: Cell<Option<Receiver<Outcome<'static>>>>,
    pub(crate) key: Cell<Option<(NodeCallId, Duration)>>,
}

/// How far a method has come.
pub(crate) enum Progress<'a> {
    /// Its result, as JSON text.
    Result(Cow<'a, str>),
    /// Somebody else answers, by [`Call::reply`].
    Later,
    /// The result comes after this, which is more than a turn is for.
    Unfinished(Work),
}

/// What a method does.
pub(crate) type CallResult<'a> = Result<Progress<'a>, RpcError>;

/// A result that is there now.
pub(crate) fn now<'a>(result: &impl Serialize) -> CallResult<'a> {
    Ok(Progress::Result(to_json(result).into()))
}

impl<'a> Call<'a> {
    /// Does what the method of this name does.
    pub(crate) fn run(&self, name: &str) -> CallResult<'a> {
        let Some(method) = self.methods.iter().find(|method| method.name == name) else {
            return Err(RpcError::new(ErrorKind::MethodNotFound, "Method not found"));
        };
        method.scope.map_or(Ok(()), |scope| self.check_scope(scope))?;
        (method.run)(self)
    }

    /// Identity calls.
    pub(crate) fn auth(&self) -> &'a AuthInfo {
        match &self.origin {
            Origin::Client { client, .. } => &client.auth,
            Origin::Http { auth, .. } => auth,
        }
    }

    /// The client that calls; over HTTP there is none.
    pub(crate) fn client(&self) -> Result<&'a Arc<GatewayClient>, RpcError> {
        match &self.origin {
            Origin::Client { client, .. } => Ok(client),
            Origin::Http { .. } => Err(RpcError::new(ErrorKind::Forbidden, "only over a WebSocket")),
        }
    }

    /// Identity calls, for bounds.
    pub(crate) fn caller(&self) -> Caller {
        match &self.origin {
            Origin::Client { client, .. } => Caller::Client(client.conn_id),
            Origin::Http { auth, .. } => Caller::Credential(auth.presence_key.clone()),
        }
    }

    /// The way back for an answer that comes later.
    pub(crate) fn reply(&self) -> Responder {
        match &self.origin {
            Origin::Client { client, id, batch: None } => Responder::to_client(client, *id),
            Origin::Client { id, batch: Some(batch), .. } => Responder::to_batch(batch, *id),
            Origin::Http { later, .. } => {
                let (reply, answer) = Responder::to_http();
                later.answer.set(Some(answer));
                reply
            }
        }
    }

    /// The call that the later answer is for, and how long it may take.
    pub(crate) fn waits_for(&self, key: NodeCallId, timeout: Duration) {
        if let Origin::Http { later, .. } = &self.origin {
            later.key.set(Some((key, timeout)));
        }
    }

    /// That the answer may come later: what is kept until then isn't too much.
    pub(crate) fn check_later(&self) -> Result<(), RpcError> {
        match &self.origin {
            Origin::Client { batch: Some(batch), .. } => batch.check_room(),
            Origin::Client { id, .. } => check_kept_id(*id),
            Origin::Http { .. } => Ok(()),
        }
    }

    /// Its params.
    pub(crate) fn params(&self) -> Result<Params<'a>, RpcError> {
        Params::of(self.params)
    }

    /// For methods that take none.
    pub(crate) fn no_params(&self) -> Result<(), RpcError> {
        self.params()?.finish()
    }

    /// That the caller may do what needs this scope.
    pub(crate) fn check_scope(&self, scope: &'static str) -> Result<(), RpcError> {
        match self.auth().has_scope(scope) {
            true => Ok(()),
            false => {
                let message = format!("forbidden: it needs the scope {scope}");
                Err(RpcError::new(ErrorKind::Forbidden, message).with("scope", scope))
            }
        }
    }
}
