//! NodeCalls that come over HTTP: the same methods, with nobody to send a later answer to but the request that waits.

use super::method::{Call, Later, Origin, Progress};
use super::node_calls::NodeCallId;
use super::router::Router;
use super::state::RpcState;
use super::work::Work;
use crate::auth::AuthInfo;
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::responder::Outcome;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::Receiver;

/// A call over HTTP.
pub enum HttpCall {
    /// It is answered.
    Done(Outcome<'static>),
    /// The answer comes after this, which is more than a turn is for.
    Unfinished(Work),
    /// It waits for a node.
    Waiting(Waiting),
}

/// A call that waits for a node; dropped, it isn't waited for any more.
pub struct Waiting {
    state: Arc<RpcState>,
    answer: Receiver<Outcome<'static>>,
    key: Option<NodeCallId>,
    /// How long the node may take.
    pub timeout: Duration,
}

impl Router {
    /// NodeCalls a method by its name; `params` is a JSON object.
    pub fn call(&self, auth: &Arc<AuthInfo>, method: &str, params: &RawValue) -> HttpCall {
        let later = Later::default();
        let origin = Origin::Http { auth, later: &later };
        let call = Call { state: &self.state, methods: self.methods, origin, params: Some(params) };
        match call.run(method) {
            Ok(Progress::Result(result)) => HttpCall::Done(Outcome::Result(result.into_owned().into())),
            Ok(Progress::Unfinished(work)) => HttpCall::Unfinished(work),
            Err(error) => HttpCall::Done(Outcome::Failed(error)),
            Ok(Progress::Later) => match later.answer.take().zip(later.key.take()) {
                Some((answer, (key, timeout))) => {
                    HttpCall::Waiting(Waiting { state: self.state.clone(), answer, key: Some(key), timeout })
                }
                None => HttpCall::Done(internal_error()),
            },
        }
    }
}

impl Waiting {
    /// Waits for the answer, which comes within the call's time.
    pub async fn wait(mut self) -> Outcome<'static> {
        // Every way back gives an answer when it is dropped.
        (&mut self.answer).await.unwrap_or_else(|_| internal_error())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.state.calls.cancel(key);
        }
    }
}

fn internal_error() -> Outcome<'static> {
    Outcome::Failed(RpcError::new(ErrorKind::InternalError, "Internal error"))
}
