use super::*;
use crate::auth::{AuthInfo, Role};
use crate::client::CloseReason;
use crate::config::CallLimits;
use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

const PER_CALLER: usize = 3;
const PER_NODE: usize = 4;

fn calls() -> Arc<NodeCalls> {
    calls_with(PER_CALLER, PER_NODE)
}

fn calls_with(max_per_caller: usize, max_per_node: usize) -> Arc<NodeCalls> {
    let limits = CallLimits { timeout: Duration::from_secs(3600), max_per_caller, max_per_node };
    let config = LiveConfig::with(|config| config.calls = limits);
    NodeCalls::new(config.clone(), Arc::new(Heartbeat::new(config, Arc::default())))
}

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::new("test", Role::Node, []))
}

#[derive(Clone, Debug)]
enum Step {
    Start {
        caller: usize,
        node: usize,
    },
    /// The called node responds, or another client does.
    Respond {
        call: usize,
        by_called_node: bool,
    },
    TimeOut(usize),
    Cancel(usize),
    /// A client disconnects and is replaced by a new one.
    Disconnect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5usize, 0..3usize).prop_map(|(caller, node)| Step::Start { caller, node }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(call, by_called_node)| Step::Respond { call, by_called_node }),
        1 => any::<usize>().prop_map(Step::TimeOut),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..6usize).prop_map(Step::Disconnect),
    ];
    prop::collection::vec(step, 0..150)
}

/// A call from its caller's view.
struct TestCall {
    id: NodeCallId,
    /// The index that [`caller`] takes.
    caller: usize,
    result: Receiver<CallResult<'static>>,
    is_pending: bool,
}

impl TestCall {
    /// Returns the result, which must have arrived since the last check.
    fn finish(&mut self) -> CallResult<'static> {
        assert!(std::mem::take(&mut self.is_pending), "the call had ended before");
        self.result.try_recv().expect("the call has a result")
    }
}

fn error_kind(result: &CallResult<'_>) -> Option<ErrorKind> {
    match result {
        CallResult::Failed(error) => Some(error.kind),
        _ => None,
    }
}

/// Callers 0 to 2 are the clients 3 to 5; callers 3 and 4 call over HTTP. The clients 0 to 2 are nodes.
fn caller(clients: &[Arc<GatewayClient>], index: usize) -> Caller {
    match index {
        0..=2 => Caller::Client(clients[3 + index].conn_id),
        _ => Caller::Credential(format!("operator:{index}").into()),
    }
}

fn start(calls: &Arc<NodeCalls>, clients: &[Arc<GatewayClient>], from: usize, node: usize) -> TestCall {
    let (responder, result) = Responder::to_http();
    let request = NodeRequest { method: r#""x""#, params: None, timeout: Duration::from_secs(3600) };
    let id = calls.start(&clients[node], &request, caller(clients, from), responder);
    TestCall { id, caller: from, result, is_pending: true }
}

/// The calls, and a model of what they should be.
struct World {
    calls: Arc<NodeCalls>,
    clients: Vec<Arc<GatewayClient>>,
    all: Vec<TestCall>,
}

impl World {
    fn pending(&self, matches: impl Fn(&TestCall) -> bool) -> usize {
        self.all.iter().filter(|call| call.is_pending && matches(call)).count()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start { caller, node } => self.start(caller, node),
            Step::Disconnect(index) => self.disconnect(index),
            _ if self.all.is_empty() => {}
            Step::Respond { call, by_called_node } => {
                let index = call % self.all.len();
                let call = &mut self.all[index];
                let node = if by_called_node { call.id.node } else { self.clients[5].conn_id };
                self.calls.on_response(node, Some(call.id.id), Response::Result("7"));
                if by_called_node && call.is_pending {
                    assert!(matches!(call.finish(), CallResult::Success(result) if result == "7"));
                }
            }
            Step::TimeOut(call) => {
                let index = call % self.all.len();
                let call = &mut self.all[index];
                self.calls.fail_by_id(call.id, CallEnd::Timeout);
                if call.is_pending {
                    assert_eq!(error_kind(&call.finish()), Some(ErrorKind::Timeout));
                }
            }
            Step::Cancel(call) => {
                let index = call % self.all.len();
                let call = &mut self.all[index];
                self.calls.cancel(call.id);
                if std::mem::take(&mut call.is_pending) {
                    assert_eq!(call.result.try_recv().unwrap_err(), TryRecvError::Closed);
                }
            }
        }
    }

    fn start(&mut self, caller: usize, node: usize) {
        let of_caller = self.pending(|call| call.caller == caller);
        let of_node = self.pending(|call| call.id.node == self.clients[node].conn_id);
        let mut call = start(&self.calls, &self.clients, caller, node);
        if of_caller == PER_CALLER {
            assert_eq!(error_kind(&call.finish()), Some(ErrorKind::CallerBusy));
        } else if of_node == PER_NODE {
            assert_eq!(error_kind(&call.finish()), Some(ErrorKind::NodeBusy));
        }
        self.all.push(call);
    }

    fn disconnect(&mut self, index: usize) {
        let disconnected = std::mem::replace(&mut self.clients[index], client());
        disconnected.close(CloseReason::Normal);
        self.calls.remove_client(disconnected.conn_id);
        for call in self.all.iter_mut().filter(|call| call.is_pending) {
            if call.id.node == disconnected.conn_id {
                assert_eq!(error_kind(&call.finish()), Some(ErrorKind::NodeDisconnected));
            } else if index >= 3 && call.caller == index - 3 {
                call.is_pending = false;
            }
        }
    }

    /// Pending calls are counted, and have no result yet.
    fn check(&mut self) {
        assert_eq!(self.calls.counts.in_flight.get(), self.pending(|_| true) as u64);
        for call in self.all.iter_mut().filter(|call| call.is_pending) {
            assert_eq!(call.result.try_recv().unwrap_err(), TryRecvError::Empty);
        }
    }
}

proptest! {
    /// After any sequence of steps and then a drain, each call has ended once, the limits were kept, and the tables are
    /// empty.
    #[test]
    fn each_call_ends_once_after_any_steps(steps in steps()) {
        let mut world = World { calls: calls(), clients: (0..6).map(|_| client()).collect(), all: Vec::new() };
        for step in steps {
            world.step(step);
            world.check();
        }
        world.calls.drain();
        for call in world.all.iter_mut().filter(|call| call.is_pending) {
            prop_assert_eq!(error_kind(&call.finish()), Some(ErrorKind::Draining));
        }
        prop_assert!(world.calls.is_empty());
        prop_assert_eq!(error_kind(&start(&world.calls, &world.clients, 0, 0).finish()), Some(ErrorKind::Draining));
        prop_assert!(world.calls.is_empty());
    }
}

#[test]
fn full_outbox_fails_the_call_and_keeps_the_node_open() {
    let (calls, clients) = (calls(), (0..6).map(|_| client()).collect::<Vec<_>>());
    let (responder, mut result) = Responder::to_http();
    let params = format!("[{:?}]", "x".repeat(1_000_000));
    let request = NodeRequest { method: r#""x""#, params: Some(&params), timeout: Duration::from_secs(3600) };
    calls.start(&clients[0], &request, caller(&clients, 0), responder);
    assert_eq!(error_kind(&result.try_recv().unwrap()), Some(ErrorKind::NodeOutboxFull));
    assert!(clients[0].close_reason().is_none() && calls.is_empty());
}

#[test]
fn call_to_a_disconnected_node_fails_at_once() {
    let (calls, clients) = (calls(), (0..6).map(|_| client()).collect::<Vec<_>>());
    clients[0].close(CloseReason::Normal);
    calls.remove_client(clients[0].conn_id);
    assert_eq!(error_kind(&start(&calls, &clients, 0, 0).finish()), Some(ErrorKind::NodeDisconnected));
    assert!(calls.is_empty());
}

#[test]
fn simultaneous_response_timeout_and_disconnect_end_a_call_once() {
    let calls = calls_with(100_000, 100_000);
    let clients: Vec<_> = (0..6).map(|_| client()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (calls, clients) = (&calls, &clients);
            scope.spawn(move || {
                for _ in 0..500 {
                    let call = start(calls, clients, thread, thread % 3);
                    std::thread::scope(|scope| {
                        let id = call.id;
                        scope.spawn(move || calls.on_response(id.node, Some(id.id), Response::Result("1")));
                        scope.spawn(move || calls.fail_by_id(id, CallEnd::Timeout));
                        scope.spawn(move || calls.remove_client(id.node));
                    });
                    // The thread that ended the call may not have sent the result yet.
                    call.result.blocking_recv().expect("the call has a result");
                }
            });
        }
    });
    assert!(calls.is_empty());
    assert_eq!(calls.counts.in_flight.get(), 0);
}
