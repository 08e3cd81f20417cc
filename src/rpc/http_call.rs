//! Calls over HTTP: the same methods; the result is the body of the HTTP response.

use super::method::{Context, Outcome, Source, find};
use super::node_calls::NodeCallId;
use super::protocol::error::RpcError;
use super::protocol::responder::{CallResult, Responder};
use super::router::Router;
use super::state::RpcState;
use crate::auth::AuthInfo;
use crate::runtime::BoxFuture;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::Receiver;

/// A call over HTTP. Dropping it cancels the call.
pub struct HttpCall {
    /// How long a node may take to answer, if the call waits for one.
    pub node_timeout: Option<Duration>,
    /// The call's result.
    pub result: BoxFuture<'static, CallResult<'static>>,
}

impl Router {
    /// Checks that a caller has the scope of a method, so that a request can be refused before its body is read.
    ///
    /// # Errors
    /// The error `forbidden` if it doesn't.
    pub fn check_scope(&self, auth: &AuthInfo, method: &str) -> Result<(), RpcError> {
        find(self.methods, method)?.check_scope(auth)
    }

    /// Calls a method by its name; `params` is a JSON object.
    pub fn call(&self, auth: &Arc<AuthInfo>, method: &str, params: &RawValue) -> HttpCall {
        let (responder, receiver) = Responder::to_http();
        let source = Source::Http { auth, responder };
        let context = Context { state: &self.state, methods: self.methods, source, params: Some(params) };
        let result = match context.run(method) {
            Ok(Outcome::Ready(result)) => CallResult::Success(result.into_owned().into()),
            Ok(Outcome::Future(future)) => {
                let result = Box::pin(async { CallResult::Success(future.await.into()) });
                return HttpCall { node_timeout: None, result };
            }
            Ok(Outcome::Deferred(id, timeout)) => {
                let pending = PendingHttpCall { state: self.state.clone(), id: Some(id), receiver };
                return HttpCall { node_timeout: Some(timeout), result: Box::pin(pending.wait()) };
            }
            Err(error) => CallResult::Failed(error),
        };
        HttpCall { node_timeout: None, result: Box::pin(std::future::ready(result)) }
    }
}

/// A call that waits for a node. Dropping it before the result arrives cancels the call.
struct PendingHttpCall {
    state: Arc<RpcState>,
    /// `None` once the result has arrived.
    id: Option<NodeCallId>,
    receiver: Receiver<CallResult<'static>>,
}

impl PendingHttpCall {
    async fn wait(mut self) -> CallResult<'static> {
        let result = (&mut self.receiver).await;
        self.id = None;
        // Unreachable: a responder always sends a result unless `drop` below has cancelled it.
        result.unwrap_or_else(|_| CallResult::Failed(RpcError::internal_error()))
    }
}

impl Drop for PendingHttpCall {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.state.calls.cancel(id);
        }
    }
}
