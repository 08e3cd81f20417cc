//! Clients that were written by others: a command line, packages of Python and Node, a browser.

mod browser;
mod packages;
mod websocat;
