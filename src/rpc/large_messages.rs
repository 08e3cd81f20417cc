//! Parsing of large messages, which takes longer than a task may run at a time.

use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// The most bytes of a message that a worker of the runtime parses itself: even the most expensive JSON of this size
/// takes about half a millisecond.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Large messages that are parsed at the same time. One, so that most of the processors stay free for other clients.
const CONCURRENT: usize = 1;

/// Runs the parsing of large messages one at a time, and each in the place of a worker of the runtime, which goes on in
/// another thread: so the operating system, not the budget, divides the processors.
#[derive(Clone)]
pub struct LargeMessages(Arc<Semaphore>);

impl LargeMessages {
    /// No message is being parsed.
    pub fn new() -> Self {
        LargeMessages(Arc::new(Semaphore::new(CONCURRENT)))
    }

    /// Whether a message of `bytes` bytes is large.
    pub fn is_large(bytes: usize) -> bool {
        bytes > MAX_INLINE_BYTES
    }

    /// Runs `parse` on a message of `bytes` bytes: at once, or in its turn if the message is large.
    pub async fn run<T>(&self, bytes: usize, parse: impl FnOnce() -> T) -> T {
        if !Self::is_large(bytes) {
            return parse();
        }
        let _permit = self.0.acquire().await.expect("the semaphore is never closed");
        // A runtime with one thread has no other worker that could go on.
        let has_workers =
            Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        if has_workers { block_in_place(parse) } else { parse() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[tokio::test(flavor = "multi_thread")]
    async fn large_message_waits_for_another_one_and_small_message_does_not() {
        let messages = LargeMessages::new();
        let permit = messages.0.clone().acquire_owned().await.unwrap();
        let mut large = pin!(messages.run(MAX_INLINE_BYTES + 1, || 2));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(large.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(messages.run(MAX_INLINE_BYTES, || 1).await, 1);
        drop(permit);
        assert_eq!(large.await, 2);
    }
}
