//! Who sent a request: its address, which a trusted proxy passes on, and its credentials.

use super::state::ServerState;
use crate::auth::AuthInfo;
use crate::client::RemoteAddr;
use crate::config::Config;
use crate::http::credentials::RequestCredentials;
use crate::http::error::HttpError;
use crate::http::forwarded;
use hyper::header::HeaderMap;
use log::{info, warn};
use std::sync::Arc;

/// The sender of a request.
#[derive(Clone, Copy)]
pub struct ClientAddr {
    /// Its address; that of an untrusted proxy, if the request came through one.
    pub remote_addr: RemoteAddr,
    /// Whether it is certainly on this machine.
    is_local: bool,
}

impl ClientAddr {
    /// The sender of a request that came from `peer`.
    pub fn of(server: &ServerState, config: &Config, headers: &HeaderMap, peer: RemoteAddr) -> Self {
        let proxy = &config.proxy;
        if proxy.trusted.contains(peer) {
            let remote_addr = forwarded::client_addr(headers, peer, proxy);
            return ClientAddr { remote_addr, is_local: remote_addr.is_local() };
        }
        let is_forwarded = forwarded::is_forwarded(headers);
        if is_forwarded && proxy.trusted.is_empty() {
            server.forwarding_warning.call_once(|| {
                warn!(
                    "X-Forwarded-For or Forwarded is ignored: if remote_addr is your proxy, add it to proxy.trusted \
                     remote_addr={peer}"
                );
            });
        }
        ClientAddr { remote_addr: peer, is_local: peer.is_local() && !is_forwarded }
    }

    /// Authenticates the sender by the headers of its request. Failures of one address are limited.
    ///
    /// # Errors
    /// 400 for ambiguous credentials, 401 without valid ones, 403 if none are configured and the sender may be on another
    /// machine, 429 during a lockout.
    pub fn authenticate(
        self,
        server: &ServerState,
        config: &Config,
        headers: &HeaderMap,
    ) -> Result<Arc<AuthInfo>, HttpError> {
        let (auth, remote_addr) = (&config.auth, self.remote_addr);
        if auth.allows_anonymous() && !self.is_local && !config.allow_insecure {
            return Err(HttpError::not_local());
        }
        let credentials = RequestCredentials::from_headers(headers)?;
        if let Some(info) = auth.authenticate(&credentials.as_credentials()) {
            return Ok(info);
        }
        // A request without a credential isn't a guess, so it doesn't count as a failure.
        let is_guess = !matches!(credentials, RequestCredentials::Nothing);
        let lockout = is_guess.then(|| server.auth_limiter.record_failure(remote_addr)).flatten();
        Err(match lockout {
            None => HttpError::unauthorized(auth.scheme()),
            Some(lockout) => {
                if lockout == server.auth_limiter.first_lockout() {
                    info!("too many failed authentications, locked out remote_addr={remote_addr}");
                }
                HttpError::too_many_failures(lockout)
            }
        })
    }
}
