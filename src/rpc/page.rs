//! One page of a list that changes meanwhile: a cursor names a place in the order, not a client, so it stays valid.

use super::error::RpcError;
use super::params::Params;
use crate::client::{ConnId, GatewayClient};
use std::cmp::Ordering;
use std::sync::Arc;

/// Entries on a page unless the caller says.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// How many entries a page has.
pub(super) fn take_limit(params: &mut Params<'_>) -> Result<usize, RpcError> {
    let what = format!("a whole number, 1 to {MAX_LIMIT}");
    let limit = params.optional::<usize>("limit", &what)?.unwrap_or(DEFAULT_LIMIT);
    (1..=MAX_LIMIT).contains(&limit).then_some(limit).ok_or_else(|| RpcError::invalid_member("limit", &what))
}

/// Leaves a page's worth of a list, and says whether there was more.
pub(super) fn cut<T>(list: &mut Vec<T>, limit: usize) -> bool {
    let has_more = list.len() > limit;
    list.truncate(limit);
    has_more
}

/// In which order clients are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Oldest,
    Newest,
    PresenceKey,
}

impl Sort {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "oldest" => Some(Sort::Oldest),
            "newest" => Some(Sort::Newest),
            "presence_key" => Some(Sort::PresenceKey),
            _ => None,
        }
    }

    /// Stands before its cursors.
    fn mark(self) -> char {
        match self {
            Sort::Oldest => 'o',
            Sort::Newest => 'n',
            Sort::PresenceKey => 'p',
        }
    }
}

/// A client's place in an order: by nothing that changes while it is there, and no two have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// When it came.
    nanos: u64,
    presence_key: Arc<str>,
    conn_id: ConnId,
}

impl Place {
    fn of(client: &GatewayClient) -> Self {
        let presence_key = client.auth.presence_key.clone();
        Place { nanos: client.connected_at.nanos(), presence_key, conn_id: client.conn_id }
    }

    fn cmp(&self, other: &Self, sort: Sort) -> Ordering {
        let order = match sort {
            Sort::Oldest => self.nanos.cmp(&other.nanos),
            Sort::Newest => other.nanos.cmp(&self.nanos),
            Sort::PresenceKey => self.presence_key.cmp(&other.presence_key),
        };
        order.then_with(|| self.conn_id.cmp(&other.conn_id))
    }

    fn cursor(&self, sort: Sort) -> String {
        format!("{}{}-{}-{}", sort.mark(), self.conn_id, self.nanos, self.presence_key)
    }

    fn parse(cursor: &str, sort: Sort) -> Option<Self> {
        let (conn_id, rest) = cursor.strip_prefix(sort.mark())?.split_at_checked(36)?;
        let (nanos, presence_key) = rest.strip_prefix('-')?.split_once('-')?;
        let conn_id = ConnId::parse(conn_id)?;
        Some(Place { nanos: nanos.parse().ok()?, presence_key: presence_key.into(), conn_id })
    }
}

/// Which page of a list of clients is asked for.
pub(super) struct Page {
    sort: Sort,
    after: Option<Place>,
    limit: usize,
}

impl Page {
    /// Takes the members that say so.
    pub(super) fn take(params: &mut Params<'_>) -> Result<Self, RpcError> {
        let sort = params.checked("sort", "oldest, newest or presence_key", Sort::parse)?.unwrap_or(Sort::Oldest);
        let after = params.cursor(|cursor| Place::parse(cursor, sort))?;
        Ok(Page { sort, after, limit: take_limit(params)? })
    }

    /// The page's clients in order, and the cursor for the next page if there is one.
    pub(super) fn of(&self, clients: Vec<Arc<GatewayClient>>) -> (Vec<Arc<GatewayClient>>, Option<String>) {
        let mut placed: Vec<_> = clients.into_iter().map(|client| (Place::of(&client), client)).collect();
        if let Some(after) = &self.after {
            placed.retain(|(place, _)| place.cmp(after, self.sort).is_gt());
        }
        if placed.len() > self.limit {
            placed.select_nth_unstable_by(self.limit, |(a, _), (b, _)| a.cmp(b, self.sort));
        }
        let has_more = cut(&mut placed, self.limit);
        placed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b, self.sort));
        let cursor = placed.last().filter(|_| has_more).map(|(place, _)| place.cursor(self.sort));
        (placed.into_iter().map(|(_, client)| client).collect(), cursor)
    }
}
