//! One page of a list of clients. A cursor names a position in the order, not a client, so it stays valid while clients
//! connect and disconnect.

use super::rows::rows_to_json;
use super::scan::Visitor;
use super::view::ClientView;
use crate::client::{ConnId, GatewayClient};
use crate::labels::{Label, labels};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::protocol::params::Params;
use crate::rpc::protocol::response::to_json;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// The default number of entries on a page.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Takes the number of entries on a page.
pub fn take_limit(params: &mut Params<'_>) -> Result<usize, RpcError> {
    let expected = format!("a whole number, 1 to {MAX_LIMIT}");
    let limit = params.optional::<usize>("limit", &expected)?.unwrap_or(DEFAULT_LIMIT);
    (1..=MAX_LIMIT).contains(&limit).then_some(limit).ok_or_else(|| RpcError::unexpected_member("limit", &expected))
}

/// Truncates a list to a page. Returns whether it was longer.
pub fn truncate<T>(list: &mut Vec<T>, limit: usize) -> bool {
    let has_more = list.len() > limit;
    list.truncate(limit);
    has_more
}

labels! {
    /// The order of a list of clients.
    enum Sort {
        Oldest = "oldest",
        Newest = "newest",
        PresenceKey = "presence_key",
    }
}

impl Sort {
    /// The first character of a cursor in this order.
    fn prefix(self) -> char {
        match self {
            Sort::Oldest => 'o',
            Sort::Newest => 'n',
            Sort::PresenceKey => 'p',
        }
    }
}

/// A client's position in an order: unique, and constant while the client is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position<'a> {
    /// When the client connected: [`Timestamp::nanos`](crate::clock::Timestamp::nanos).
    nanos: u64,
    presence_key: Cow<'a, str>,
    conn_id: ConnId,
}

impl<'a> Position<'a> {
    fn of(client: &'a GatewayClient) -> Self {
        let presence_key = Cow::Borrowed(&*client.auth.presence_key);
        Position { nanos: client.connected_at.nanos(), presence_key, conn_id: client.conn_id }
    }

    fn cmp(&self, other: &Position<'_>, sort: Sort) -> Ordering {
        let order = match sort {
            Sort::Oldest => self.nanos.cmp(&other.nanos),
            Sort::Newest => other.nanos.cmp(&self.nanos),
            Sort::PresenceKey => self.presence_key.cmp(&other.presence_key),
        };
        order.then_with(|| self.conn_id.cmp(&other.conn_id))
    }

    fn cursor(&self, sort: Sort) -> String {
        format!("{}{}-{}-{}", sort.prefix(), self.conn_id, self.nanos, self.presence_key)
    }

    fn parse(cursor: &str, sort: Sort) -> Option<Position<'static>> {
        let (conn_id, rest) = cursor.strip_prefix(sort.prefix())?.split_at_checked(36)?;
        let (nanos, presence_key) = rest.strip_prefix('-')?.split_once('-')?;
        let (nanos, conn_id) = (nanos.parse().ok()?, ConnId::parse(conn_id)?);
        Some(Position { nanos, presence_key: Cow::Owned(presence_key.to_owned()), conn_id })
    }
}

/// Collects the clients on one page of a list, and the first one after it.
pub struct Page {
    sort: Sort,
    after: Option<Position<'static>>,
    limit: usize,
    /// The visited clients that come first in the page's order, at most `limit + 1`. Unsorted, but if there are that
    /// many, the last in order is at the end.
    clients: Vec<Arc<GatewayClient>>,
}

impl Page {
    /// Takes the params `sort`, `cursor` and `limit`.
    pub fn take(params: &mut Params<'_>) -> Result<Self, RpcError> {
        let sort = params.checked("sort", "oldest, newest or presence_key", Sort::parse)?.unwrap_or(Sort::Oldest);
        let after = params.cursor(|cursor| Position::parse(cursor, sort))?;
        Ok(Page { sort, after, limit: take_limit(params)?, clients: Vec::new() })
    }
}

impl Visitor for Page {
    /// Whether the client comes after the cursor and, if `limit + 1` clients are collected, ahead of the last of them.
    fn matches(&self, client: &GatewayClient) -> bool {
        let position = Position::of(client);
        let last = self.clients.get(self.limit).map(|client| Position::of(client));
        self.after.as_ref().is_none_or(|after| position.cmp(after, self.sort).is_gt())
            && last.is_none_or(|last| position.cmp(&last, self.sort).is_lt())
    }

    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>) {
        self.clients.extend(clients);
        if self.clients.len() > self.limit {
            let sort = self.sort;
            self.clients.select_nth_unstable_by(self.limit, |a, b| Position::of(a).cmp(&Position::of(b), sort));
            self.clients.truncate(self.limit + 1);
        }
    }

    async fn result(mut self) -> String {
        let has_more = truncate(&mut self.clients, self.limit);
        self.clients.sort_unstable_by(|a, b| Position::of(a).cmp(&Position::of(b), self.sort));
        let next_cursor = self.clients.last().filter(|_| has_more).map(|last| Position::of(last).cursor(self.sort));
        rows_to_json("clients", &self.clients, next_cursor, |client| to_json(&ClientView::of(client))).await
    }
}
