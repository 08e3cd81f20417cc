//! The program against small servers in these tests, good ones and bad ones.

mod common;
mod modes;
mod trouble;
