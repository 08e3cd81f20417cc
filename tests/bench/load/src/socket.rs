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

/// What a connection's socket is polled for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interest {
    /// The end of the connection only.
    End,
    /// Room for our bytes, or the result of `connect`.
    Write,
    /// Bytes from the server.
    Read,
    /// Bytes from the server, and room for ours.
    ReadWrite,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::End => EventFlags::RDHUP,
            Interest::Write => EventFlags::RDHUP | EventFlags::OUT,
            Interest::Read => EventFlags::IN,
            Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

/// What the kernel reports of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number that the socket was registered with.
    pub id: usize,
    /// There are bytes to read, or the stream has ended.
    pub read: bool,
    /// There is room to write, or `connect` has finished.
    pub write: bool,
}

/// The epoll instance and the events of its last wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Without any socket.
    pub fn new() -> Result<Poller, Errno> {
        Ok(Poller { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    /// Waits at most `timeout`, and returns the number of events.
    pub fn wait(&mut self, timeout: Duration) -> Result<usize, Errno> {
        self.events.clear();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error),
        }
    }

    /// Returns one of the events of the last wait.
    pub fn ready(&self, index: usize) -> Ready {
        let Event { flags, data } = self.events[index];
        let end = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        Ready {
            id: data.u64() as usize,
            read: end || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
            write: end || flags.contains(EventFlags::OUT),
        }
    }

    /// Registers a socket; closing it removes it again.
    pub fn add(&self, socket: &OwnedFd, id: usize, interest: Interest) -> Result<(), Errno> {
        epoll::add(&self.epoll, socket, EventData::new_u64(id as u64), interest.flags())
    }

    /// Changes what a registered socket is polled for.
    pub fn modify(&self, socket: &OwnedFd, id: usize, interest: Interest) -> Result<(), Errno> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(id as u64), interest.flags())
    }
}

/// Starts to connect from this source address. The connection may be established on return.
pub fn start_connect(from: Ipv4Addr, to: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Returns how a `connect` ended.
pub fn connect_result(socket: &OwnedFd) -> Result<(), Errno> {
    sockopt::socket_error(socket).and_then(|outcome| outcome)
}

/// Reads available bytes; `None` if there are none.
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

/// Writes as much as the socket accepts, and returns how much.
pub fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
