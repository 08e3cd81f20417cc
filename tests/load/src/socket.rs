//! System calls on one socket and on the epoll instance. Knows nothing of WebSocket.

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with, sockopt,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interest {
    /// The end of `connect`, then bytes.
    Connect,
    /// Bytes from the server.
    Read,
    /// Bytes, and room for ours.
    ReadWrite,
    /// Room for ours; what the server sends is left where it is.
    Write,
    /// Nothing but the end of the connection.
    Nothing,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Connect | Interest::Write => EventFlags::OUT,
            Interest::Read => EventFlags::IN,
            Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
            Interest::Nothing => EventFlags::empty(),
        }
    }
}

/// What the kernel reports of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Which one.
    pub id: usize,
    /// There is something to read, or an end.
    pub read: bool,
    /// There is room to write, or `connect` is done.
    pub write: bool,
    /// The connection has failed, or is closed in both directions.
    pub end: bool,
}

/// The epoll instance with room for its events.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// A new one.
    pub fn new() -> Result<Poller, Errno> {
        Ok(Poller { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    /// Waits at most so long; how many events there are.
    pub fn wait(&mut self, timeout: Duration) -> Result<usize, Errno> {
        self.events.clear();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error),
        }
    }

    /// One of the events of the last wait.
    pub fn ready(&self, index: usize) -> Ready {
        let Event { flags, data } = self.events[index];
        let end = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        Ready {
            id: data.u64() as usize,
            read: end || flags.contains(EventFlags::IN),
            write: end || flags.contains(EventFlags::OUT),
            end,
        }
    }

    /// Begins to watch a socket; closing it ends that.
    pub fn watch(&self, socket: &OwnedFd, id: usize, interest: Interest) -> Result<(), Errno> {
        epoll::add(&self.epoll, socket, EventData::new_u64(id as u64), interest.flags())
    }

    /// Watches it for something else.
    pub fn rewatch(&self, socket: &OwnedFd, id: usize, interest: Interest) -> Result<(), Errno> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(id as u64), interest.flags())
    }
}

/// Begins to connect from that address. Also true when it is done already.
pub fn start(from: Ipv4Addr, to: SocketAddrV4, receive_buffer: Option<usize>) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(bytes) = receive_buffer {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// How a `connect` ended.
pub fn connected(socket: &OwnedFd) -> Result<(), Errno> {
    sockopt::socket_error(socket).and_then(|outcome| outcome)
}

/// Reads what is there; `None` when nothing is.
pub fn read(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((read, _)) => return Ok(Some(read)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes what there is room for.
pub fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
