//! End to end: the gateway's own binary between real mail clients and real mail servers.
//!
//! Each test starts the servers it needs with private settings on free loopback ports, writes a
//! proxy.yaml, starts `gatepost run`, and talks to it from outside; it knows nothing of the code
//! within. A test whose servers or clients are not installed prints `skipped: …` and passes, unless
//! `GATEPOST_E2E=required` is set: then it fails. `.ci/run` installs what is needed.
//!
//! Nothing here asserts on time. Waits have long limits, so that a hang ends as a failure.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "this is a test: a panic is a failure, and words go to the one who reads it"
)]

mod support;

mod abuse;
mod admin_abuse;
mod certificates;
mod check;
mod clients;
mod dashboard;
mod descriptors;
mod director;
mod drain;
mod external;
mod fail2ban;
mod failures;
mod faults;
mod forward;
mod hosts;
mod kernel;
mod leaving;
mod log;
mod lookup;
mod lookup_nginx;
mod loops;
mod master;
mod mechanisms;
mod metrics;
mod mixup;
mod network;
mod operate;
mod passwords;
mod pop3_from_imap;
mod programs;
mod proxy_protocol;
mod python;
mod relay;
mod reload;
mod reload_broken;
mod reload_load;
mod reload_turns;
mod sasl;
mod secrets;
mod server_names;
mod threats;
mod tls;
mod upgrade;
mod upgrade_orders;
