//! Signals of the process: those that stop or reload the gateway, and those that are only logged. Without a handler, each of them
//! would end the process, and clients would get no close frame.

use log::warn;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal requests.
pub enum Action {
    /// Stop the gateway; the signal's name.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
    /// Make a part of the gateway hang, for a test of the watchdog.
    #[cfg(feature = "test-hangs")]
    Hang,
}

/// The signals that are handled, by name.
pub struct Signals(Vec<(&'static str, Signal)>);

impl Signals {
    /// Replaces the default actions of the signals. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the operating system refuses a handler.
    pub fn handle() -> io::Result<Self> {
        let kinds = [
            ("TERM", SignalKind::terminate()),
            ("INT", SignalKind::interrupt()),
            ("QUIT", SignalKind::quit()),
            ("HUP", SignalKind::hangup()),
            ("USR1", SignalKind::user_defined1()),
            ("USR2", SignalKind::user_defined2()),
        ];
        let signals = kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        signals.collect::<io::Result<_>>().map(Signals)
    }

    /// Waits for a signal that has a function, and returns that. Logs the others.
    pub async fn next_action(&mut self) -> Action {
        loop {
            match self.next().await {
                "HUP" => return Action::Reload,
                #[cfg(feature = "test-hangs")]
                "USR1" => return Action::Hang,
                name if name.starts_with("USR") => warn!("signal is ignored signal={name}"),
                name => return Action::Stop(name),
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            let received = signals.find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
            received.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
