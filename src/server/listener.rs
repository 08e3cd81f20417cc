//! Listeners: bound TCP sockets over IPv4 and IPv6, and Unix sockets.

use super::admission::ListenerRole;
use crate::client::RemoteAddr;
use crate::config::{ListenAddr, unmapped};
use crate::ws::Stream;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// Maximum connections that wait to be accepted on a TCP socket; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Unsent bytes in the kernel's send buffer above which a socket isn't writable (`TCP_NOTSENT_LOWAT`). With a low value
/// a slow reader is detected sooner, and a ping isn't queued behind megabytes. Bytes in flight don't count, so fast
/// readers aren't slowed down.
const NOTSENT_LOWAT: u32 = 16 * 1024;

/// The file mode of a Unix socket: its owner and its group may connect, such as the group of a reverse proxy.
const UNIX_MODE: u32 = 0o660;

/// A socket that accepts connections. Dropping it removes the path of a Unix socket.
pub struct Listener {
    socket: Socket,
    addr: ListenAddr,
    pub(crate) role: ListenerRole,
}

enum Socket {
    Tcp(TcpListener),
    /// The path is `None` if the socket was passed: it belongs to the service manager.
    Unix {
        listener: UnixListener,
        _path: Option<BoundPath>,
    },
}

impl Listener {
    /// Binds an address. Port 0 selects a free port. Must be called in a tokio runtime.
    ///
    /// With `reuse_port`, several sockets of one user that all set it may bind the same TCP address; the kernel
    /// distributes the connections among them. An IPv6 address takes no IPv4 connections. A Unix socket's path is
    /// replaced if no process listens on it.
    ///
    /// # Errors
    /// The operating system's error, such as an address in use.
    pub fn bind(addr: &ListenAddr, reuse_port: bool) -> io::Result<Self> {
        match addr {
            ListenAddr::Tcp(addr) => bind_tcp(*addr, reuse_port),
            ListenAddr::Unix(path) => bind_unix(path),
        }
    }

    /// A listener with a socket that another program has bound, such as systemd. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// It isn't a TCP or Unix socket that listens for streams.
    pub fn from_socket(socket: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(socket);
        if !socket.is_listener()? || socket.r#type()? != Type::STREAM {
            return Err(io::Error::other("not a listening stream socket"));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        if let Some(path) = addr.as_pathname() {
            let (listener, addr) = (UnixListener::from_std(socket.into())?, ListenAddr::Unix(path.to_owned()));
            return Ok(Listener { socket: Socket::Unix { listener, _path: None }, addr, role: ListenerRole::All });
        }
        let addr = addr.as_socket().ok_or_else(|| io::Error::other("not a TCP or Unix socket"))?;
        set_tcp_options(SockRef::from(&socket))?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(Listener { socket: Socket::Tcp(listener), addr: ListenAddr::Tcp(addr), role: ListenerRole::All })
    }

    /// Returns why this machine doesn't let the process bind an address, unless the address is in use or valid. Nothing
    /// listens on it meanwhile.
    pub(crate) fn bind_error(addr: &ListenAddr) -> Option<io::Error> {
        let bound = match addr {
            ListenAddr::Tcp(addr) => tcp_socket(*addr, true).map(drop),
            ListenAddr::Unix(path) => path.parent().map_or(Ok(()), |dir| fs::metadata(dir.join(".")).map(drop)),
        };
        bound.err().filter(|error| error.kind() != io::ErrorKind::AddrInUse)
    }

    /// Makes this an admin listener: it serves all paths but `/ws`, and the other listeners of the gateway serve only
    /// `/ws` and the health checks.
    pub fn admin_only(self) -> Self {
        Listener { role: ListenerRole::Admin, ..self }
    }

    /// The bound address, with the port that the kernel chose.
    pub fn addr(&self) -> &ListenAddr {
        &self.addr
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, RemoteAddr)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                // A passed IPv6 socket may take IPv4 connections too.
                Ok((Stream::Tcp(stream), RemoteAddr::Tcp(unmapped(addr))))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), RemoteAddr::Unix))
            }
        }
    }
}

fn bind_tcp(addr: SocketAddr, reuse_port: bool) -> io::Result<Listener> {
    let listener = tcp_socket(addr, reuse_port)?.listen(BACKLOG)?;
    let addr = ListenAddr::Tcp(listener.local_addr()?);
    Ok(Listener { socket: Socket::Tcp(listener), addr, role: ListenerRole::All })
}

/// A bound socket that doesn't listen yet.
fn tcp_socket(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpSocket> {
    let addr = unmapped(addr);
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if addr.is_ipv6() {
        // Whatever net.ipv6.bindv6only is, `[::]` leaves the IPv4 port free for `0.0.0.0`.
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    set_tcp_options(SockRef::from(&socket))?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Sets options that accepted sockets inherit on Linux, which saves two system calls for each connection.
fn set_tcp_options(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    if is_stale(path) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let bound = BoundPath { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
    let (socket, addr) = (Socket::Unix { listener, _path: Some(bound) }, ListenAddr::Unix(path.to_owned()));
    Ok(Listener { socket, addr, role: ListenerRole::All })
}

/// Whether `path` is a socket on which no process listens. Doesn't wait for a listener whose queue is full.
fn is_stale(path: &Path) -> bool {
    let connect = || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A Unix socket's path. Dropping it removes the file, unless another process has replaced it.
struct BoundPath {
    path: PathBuf,
    inode: u64,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            // If this fails, the next start replaces the path.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn accepted_socket_has_nodelay_and_notsent_lowat() {
        let listener = Listener::bind(&ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 0).into()), false).unwrap();
        let ListenAddr::Tcp(addr) = *listener.addr() else { unreachable!() };
        let client = TcpStream::connect(addr).unwrap();
        let (stream, remote_addr) = listener.accept().await.unwrap();
        assert_eq!(remote_addr, RemoteAddr::Tcp(client.local_addr().unwrap()));
        let Stream::Tcp(tcp) = stream else { unreachable!() };
        assert!(tcp.nodelay().unwrap());
        assert_eq!(SockRef::from(&tcp).tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
    }

    #[tokio::test]
    async fn passed_socket_listens_at_its_address_and_others_are_refused() {
        let tcp = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let listener = Listener::from_socket(tcp.into()).unwrap();
        assert_eq!(listener.addr().to_string(), format!("[::]:{port}"));
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (Stream::Tcp(stream), remote_addr) = listener.accept().await.unwrap() else { unreachable!() };
        assert_eq!(remote_addr, RemoteAddr::Tcp(client.local_addr().unwrap()), "an IPv4 address is shown as one");
        assert!(stream.nodelay().unwrap());
        assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let listener = Listener::from_socket(unix.into()).unwrap();
        assert_eq!(*listener.addr(), ListenAddr::Unix(path.clone()));
        drop(listener);
        assert!(path.exists(), "the path belongs to the program that has bound it");
        for other in [OwnedFd::from(client), std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()] {
            assert!(Listener::from_socket(other).is_err());
        }
        assert!(Listener::from_socket(tempfile::tempfile().unwrap().into()).is_err());
    }

    #[tokio::test]
    async fn unix_path_is_replaced_only_if_no_process_listens() {
        let dir = tempfile::tempdir().unwrap();
        let addr = ListenAddr::Unix(dir.path().join("socket"));
        let first = Listener::bind(&addr, false).unwrap();
        let ListenAddr::Unix(path) = &addr else { unreachable!() };
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, UNIX_MODE);
        assert!(Listener::bind(&addr, true).is_err(), "another listener is bound");
        drop(first);
        assert!(!path.exists());
        // The socket of a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        assert!(path.exists() && Listener::bind(&addr, false).is_ok());
        // A listener whose queue is full, to which a blocking connect would wait.
        let full = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        full.bind(&SockAddr::unix(path).unwrap()).unwrap();
        full.listen(0).unwrap();
        let _queued = UnixStream::connect(path).unwrap();
        assert_eq!(Listener::bind(&addr, false).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(path).unwrap();
        fs::write(path, "a file, not a socket").unwrap();
        assert!(Listener::bind(&addr, false).is_err());
        assert!(path.exists(), "only a socket is replaced");
    }
}
