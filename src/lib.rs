#![doc = include_str!("ARCHITECTURE.md")]
#![cfg_attr(not(test), deny(clippy::too_many_lines))]
// A future that moves into the next is there twice, in every session.
#![cfg_attr(not(test), warn(clippy::large_futures))]

pub mod admin;
pub mod app;
pub mod backend;
pub mod cli;
pub mod config;
pub mod demo;
pub mod listen;
pub mod manual;
pub mod net;
pub mod observe;
pub mod protocol;
pub mod route;
pub mod session;
pub mod state;
pub mod tls;
