//! The clients, and a thread that plays the part of their sessions.

use aisopod_gateway::{
    AuthInfo, Bounds, ClientRegistry, ConnId, GatewayClient, RemoteAddr, Role, Sender, SenderContext, Stats,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at all clients; well within the time that a client has to answer.
const LOOK: Duration = Duration::from_secs(3);

/// What clients share.
pub struct Mould {
    context: Arc<SenderContext>,
    auth: Arc<AuthInfo>,
}

impl Mould {
    /// As of one credential.
    pub fn new(stats: Arc<Stats>) -> Self {
        let bounds = Bounds { messages: 1024, bytes: 4 * 1024 * 1024 };
        let context = Arc::new(SenderContext { bounds, stats });
        Mould { context, auth: Arc::new(AuthInfo::new("million", Role::Node, [])) }
    }

    /// A new client, which was heard of just now.
    pub fn client(&self) -> Arc<GatewayClient> {
        let sender = Sender::new(self.context.clone());
        let client = GatewayClient::new(ConnId::random(), sender, RemoteAddr::Unix, self.auth.clone());
        client.heard();
        Arc::new(client)
    }
}

/// Hears from every client that was pinged, every few seconds, until it is dropped.
pub struct Sessions {
    pings: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sessions {
    /// Begins.
    pub fn start(registry: &Arc<ClientRegistry>) -> Self {
        let (pings, ended) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (registry, counted, end) = (registry.clone(), pings.clone(), ended.clone());
        let clients = registry.list();
        let thread = thread::spawn(move || {
            let mut ended = false;
            while !ended {
                // Read first: there is one more look after the end was asked for.
                ended = end.load(Relaxed);
                let pinged = clients.iter().filter(|client| !client.is_heard());
                counted.fetch_add(pinged.map(|client| client.heard()).count() as u64, Relaxed);
                if !ended {
                    thread::park_timeout(LOOK);
                }
            }
        });
        Sessions { pings, ended, thread: Some(thread) }
    }

    /// Ends with one more look, and returns how many pings were asked for.
    pub fn end(mut self) -> u64 {
        self.stop();
        self.pings.load(Relaxed)
    }

    fn stop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing that could panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop();
    }
}
