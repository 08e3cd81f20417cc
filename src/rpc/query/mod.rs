//! Lists of clients: filters, pages, and how a client is shown.

pub mod filter;
pub mod page;
pub mod scan;
pub mod view;
