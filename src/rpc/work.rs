//! What is left to do of a call that is more than a turn is for.

use crate::client::Rest;
use crate::rpc::protocol::responder::Outcome;
use std::ops::ControlFlow;
use tokio::task::yield_now;

/// The unfinished part of a call. Dropped, it isn't done: nothing comes of the call.
pub struct Work(Box<dyn FnOnce() -> ControlFlow<String, Work> + Send>);

impl Work {
    /// `go_on` does the next piece: it breaks with the result as JSON, or continues with the rest.
    pub(crate) fn new(go_on: impl FnOnce() -> ControlFlow<String, Work> + Send + 'static) -> Self {
        Work(Box::new(go_on))
    }

    /// As what is left of a client's message: at the end, this is done with the result.
    pub(crate) fn then(self, end: impl FnOnce(String) -> Option<Rest> + Send + 'static) -> Rest {
        Rest::new(move || match (self.0)() {
            ControlFlow::Break(result) => end(result),
            ControlFlow::Continue(work) => Some(work.then(end)),
        })
    }

    /// Does it all, in turns with other tasks.
    pub async fn finish(mut self) -> Outcome<'static> {
        loop {
            yield_now().await;
            self = match (self.0)() {
                ControlFlow::Break(result) => return Outcome::Result(result.into()),
                ControlFlow::Continue(work) => work,
            };
        }
    }
}
