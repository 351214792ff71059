#![doc = include_str!("ARCHITECTURE.md")]
#![cfg_attr(not(test), deny(clippy::too_many_lines))]

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
