//! Lists of clients: filters, pages, which identities exist, and how a client is shown.

pub mod filter;
pub mod identities;
pub mod page;
pub mod rows;
pub mod scan;
pub mod view;
