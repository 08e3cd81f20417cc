//! Third-party clients (websocat, packages for Python and Node, a browser) and proxies (nginx, HAProxy, Caddy); the
//! Autobahn test suite.

/// Defines a module for each subject, with a test for each of the functions in braces. They take the subject and return
/// `None` when they are skipped.
macro_rules! test_each {
    (@module {$($test:ident)*} $module:ident $subject:expr) => {
        mod $module {
            use super::*;

            $(#[test]
            fn $test() {
                super::$test(&$subject);
            })*
        }
    };
    ($tests:tt $($module:ident: $subject:expr,)*) => {
        $(test_each!(@module $tests $module $subject);)*
    };
}

mod browser;
mod conformance;
mod packages;
mod proxies;
mod proxy;
mod websocat;
