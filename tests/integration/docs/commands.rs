//! Load-tests with websocat, as `src/rpc/README.md` shows them.
