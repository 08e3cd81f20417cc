//! Third-party clients: websocat, packages for Python and Node, a browser.

mod browser;
mod packages;
mod websocat;
