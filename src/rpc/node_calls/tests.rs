use super::*;
use crate::auth::{AuthInfo, Role};
use crate::client::CloseReason;
use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

const PER_CALLER: usize = 3;
const PER_NODE: usize = 4;

fn calls() -> Arc<NodeCalls> {
    let limits =
        config::CallLimits { timeout: Duration::from_secs(3600), max_per_caller: PER_CALLER, max_per_node: PER_NODE };
    let heartbeat = config::HeartbeatConfig { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) };
    NodeCalls::new(limits, Arc::new(Heartbeat::new(&heartbeat, Arc::default())))
}

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::new("test", Role::Node, []))
}

#[derive(Clone, Debug)]
enum Step {
    Call {
        caller: usize,
        node: usize,
    },
    /// By a node of its own or of somebody else's.
    Answer {
        call: usize,
        is_reserved: bool,
    },
    Expire(usize),
    Cancel(usize),
    /// A node or a caller goes, and another comes in its place.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5usize, 0..3usize).prop_map(|(caller, node)| Step::Call { caller, node }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(call, is_reserved)| Step::Answer { call, is_reserved }),
        1 => any::<usize>().prop_map(Step::Expire),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..6usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 0..150)
}

/// A call as its caller knows it.
struct Asked {
    key: NodeCallId,
    /// 3 and 4 are over HTTP.
    caller: usize,
    answer: Receiver<CallResult<'static>>,
    allows_anonymous: bool,
}

impl Asked {
    /// Notes an end that must have come now.
    fn finish(&mut self) -> CallResult<'static> {
        assert!(std::mem::take(&mut self.allows_anonymous), "it had ended before");
        self.answer.try_recv().expect("an answer")
    }
}

fn kind_of(outcome: &CallResult<'_>) -> Option<ErrorKind> {
    match outcome {
        CallResult::Failed(error) => Some(error.kind),
        _ => None,
    }
}

/// Nodes are 0 to 2, callers over WebSockets 3 to 5.
fn caller(clients: &[Arc<GatewayClient>], index: usize) -> Caller {
    match index {
        0..=2 => Caller::Client(clients[3 + index].conn_id),
        _ => Caller::Credential(format!("operator:{index}").into()),
    }
}

fn ask(calls: &Arc<NodeCalls>, clients: &[Arc<GatewayClient>], who: usize, node: usize) -> Asked {
    let (reply, answer) = Responder::to_http();
    let request = NodeRequest { method: r#""x""#, params: None, timeout: Duration::from_secs(3600) };
    let key = calls.start(&clients[node], &request, caller(clients, who), reply);
    Asked { key, caller: who, answer, allows_anonymous: true }
}

/// All that was asked, and by whom of whom.
struct World {
    calls: Arc<NodeCalls>,
    clients: Vec<Arc<GatewayClient>>,
    all: Vec<Asked>,
}

impl World {
    fn open(&self, fits: impl Fn(&Asked) -> bool) -> usize {
        self.all.iter().filter(|asked| asked.allows_anonymous && fits(asked)).count()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call { caller, node } => self.call(caller, node),
            Step::Leave(index) => self.leave(index),
            _ if self.all.is_empty() => {}
            Step::Answer { call, is_reserved } => {
                let index = call % self.all.len();
                let asked = &mut self.all[index];
                let node = if is_reserved { asked.key.node } else { self.clients[5].conn_id };
                self.calls.on_response(node, Some(asked.key.id), Response::Result("7"));
                if is_reserved && asked.allows_anonymous {
                    assert!(matches!(asked.finish(), CallResult::Success(result) if result == "7"));
                }
            }
            Step::Expire(call) => {
                let index = call % self.all.len();
                let asked = &mut self.all[index];
                self.calls.fail_by_id(asked.key, ErrorKind::Timeout);
                if asked.allows_anonymous {
                    assert_eq!(kind_of(&asked.finish()), Some(ErrorKind::Timeout));
                }
            }
            Step::Cancel(call) => {
                let index = call % self.all.len();
                let asked = &mut self.all[index];
                self.calls.cancel(asked.key);
                if std::mem::take(&mut asked.allows_anonymous) {
                    assert_eq!(asked.answer.try_recv().unwrap_err(), TryRecvError::Closed);
                }
            }
        }
    }

    fn call(&mut self, caller: usize, node: usize) {
        let of_caller = self.open(|asked| asked.caller == caller);
        let of_node = self.open(|asked| asked.key.node == self.clients[node].conn_id);
        let mut asked = ask(&self.calls, &self.clients, caller, node);
        if of_caller == PER_CALLER {
            assert_eq!(kind_of(&asked.finish()), Some(ErrorKind::CallerBusy));
        } else if of_node == PER_NODE {
            assert_eq!(kind_of(&asked.finish()), Some(ErrorKind::NodeBusy));
        }
        self.all.push(asked);
    }

    fn leave(&mut self, index: usize) {
        let gone = std::mem::replace(&mut self.clients[index], client());
        gone.close(CloseReason::Normal);
        self.calls.remove_client(gone.conn_id);
        for asked in self.all.iter_mut().filter(|asked| asked.allows_anonymous) {
            if asked.key.node == gone.conn_id {
                assert_eq!(kind_of(&asked.finish()), Some(ErrorKind::NodeDisconnected));
            } else if index >= 3 && asked.caller == index - 3 {
                asked.allows_anonymous = false;
            }
        }
    }

    /// What is under way is counted, and has no answer yet.
    fn check(&mut self) {
        assert_eq!(self.calls.counts.in_flight.get(), self.open(|_| true) as u64);
        for asked in self.all.iter_mut().filter(|asked| asked.allows_anonymous) {
            assert_eq!(asked.answer.try_recv().unwrap_err(), TryRecvError::Empty);
        }
    }
}

proptest! {
    /// Whatever happens, in whatever order: each call is answered once, limits hold, and nothing is left.
    #[test]
    fn every_call_ends_once(steps in steps()) {
        let mut world = World { calls: calls(), clients: (0..6).map(|_| client()).collect(), all: Vec::new() };
        for step in steps {
            world.step(step);
            world.check();
        }
        world.calls.drain();
        for asked in world.all.iter_mut().filter(|asked| asked.allows_anonymous) {
            prop_assert_eq!(kind_of(&asked.finish()), Some(ErrorKind::Draining));
        }
        prop_assert!(world.calls.is_empty());
        prop_assert_eq!(kind_of(&ask(&world.calls, &world.clients, 0, 0).finish()), Some(ErrorKind::Draining));
        prop_assert!(world.calls.is_empty());
    }
}

#[test]
fn a_node_whose_outbox_is_full_stays_and_its_caller_is_told() {
    let (calls, clients) = (calls(), (0..6).map(|_| client()).collect::<Vec<_>>());
    let (reply, mut answer) = Responder::to_http();
    let params = format!("[{:?}]", "x".repeat(1_000_000));
    let request = NodeRequest { method: r#""x""#, params: Some(&params), timeout: Duration::from_secs(3600) };
    calls.start(&clients[0], &request, caller(&clients, 0), reply);
    assert_eq!(kind_of(&answer.try_recv().unwrap()), Some(ErrorKind::NodeOutboxFull));
    assert!(clients[0].close_reason().is_none() && calls.is_empty());
}

#[test]
fn a_node_that_has_gone_is_told_at_once() {
    let (calls, clients) = (calls(), (0..6).map(|_| client()).collect::<Vec<_>>());
    clients[0].close(CloseReason::Normal);
    calls.remove_client(clients[0].conn_id);
    assert_eq!(kind_of(&ask(&calls, &clients, 0, 0).finish()), Some(ErrorKind::NodeDisconnected));
    assert!(calls.is_empty());
}

#[test]
fn many_threads_end_each_call_once() {
    let limits =
        config::CallLimits { timeout: Duration::from_secs(3600), max_per_caller: 100_000, max_per_node: 100_000 };
    let calls = Arc::new(NodeCalls { limits, ..Arc::into_inner(calls()).unwrap() });
    let clients: Vec<_> = (0..6).map(|_| client()).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (calls, clients) = (&calls, &clients);
            scope.spawn(move || {
                for _ in 0..500 {
                    let asked = ask(calls, clients, thread, thread % 3);
                    std::thread::scope(|scope| {
                        let key = asked.key;
                        scope.spawn(move || calls.on_response(key.node, Some(key.id), Response::Result("1")));
                        scope.spawn(move || calls.fail_by_id(key, ErrorKind::Timeout));
                        scope.spawn(move || calls.remove_client(key.node));
                    });
                    // Another thread may be about to give it.
                    asked.answer.blocking_recv().expect("an answer");
                }
            });
        }
    });
    assert!(calls.is_empty());
    assert_eq!(calls.counts.in_flight.get(), 0);
}
