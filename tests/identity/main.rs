//! Who the client is: certificates, PROXY headers, TTLs against loops, master logins, passwords that
//! the gateway checks itself.

#![allow(clippy::unwrap_used, missing_docs)]

mod fronts;
mod settings;
