//! The protocol's core of a session, and its greeting: said once the session begins, or with the TLS handshake.

use std::net::IpAddr;

use super::{Front, Gateway, limits, offers};
use crate::net::Stream;
use crate::protocol::{
    Channel, Farewell, FrontSettings, Protocol, Server, StartTls, Step, imap, pop3,
};

/// A session whose greeting left with our part of the TLS handshake, a round trip before the client could
/// have had it otherwise.
pub struct Greeted {
    pub(super) id: String,
    pub(super) server: Box<dyn Server>,
    /// For who listens.
    pub(super) said: Vec<u8>,
}

/// Greets a client at this address that asks for the server of this name, in TLS from the first octet and
/// without a certificate of its own.
pub fn greet(
    front: &Front,
    gateway: &Gateway,
    client: IpAddr,
    server_name: Option<&str>,
) -> (Greeted, Vec<u8>) {
    let id = gateway.ids.next().to_string();
    let mut server = server(front, gateway, &id, Channel::Tls, server_name);
    meet(gateway, client, &mut *server);
    let mut said = Vec::new();
    while let Step::Write(octets) = server.step() {
        said.extend(octets);
    }
    let words = said.clone();
    (Greeted { id, server, said }, words)
}

/// Tells the core what it must know of the client's address before it greets.
pub(super) fn meet(gateway: &Gateway, client: IpAddr, server: &mut dyn Server) {
    if limits::trusted(&gateway.limits, client) {
        server.sender_trusted();
    }
}

/// What a client may do here, as far as its stream goes.
pub(super) fn channel(front: &Front, stream: &Stream) -> Channel {
    match stream.tls() {
        Some(_) => Channel::Tls,
        None => Channel::Clear {
            starttls: match front.upgrade {
                Some(_) => StartTls::Yes,
                None => StartTls::No,
            },
            login: front.clear_login,
        },
    }
}

/// The protocol's core, as this listener and channel want it.
pub(super) fn server(
    front: &Front,
    gateway: &Gateway,
    id: &str,
    channel: Channel,
    server_name: Option<&str>,
) -> Box<dyn Server> {
    let settings = FrontSettings {
        greeting: front.greeting.clone(),
        session: id.to_owned(),
        channel,
        capabilities: front.capabilities.clone(),
        mechanisms: offers::mechanisms(front, gateway, server_name),
        line: gateway.limits.line,
        bad_commands: gateway.limits.bad_commands,
    };
    match front.protocol {
        Protocol::Imap => Box::new(imap::server::Server::new(settings)),
        Protocol::Pop3 => Box::new(pop3::server::Server::new(settings)),
    }
}

/// What a client hears in place of a greeting when there is no room for it. `id`: the session's that it
/// will not be.
pub fn no_room(front: &Front, gateway: &Gateway, id: &str) -> Vec<u8> {
    let nobody = Stream::Gone(tokio::io::empty());
    server(front, gateway, id, channel(front, &nobody), None).farewell(Farewell::TooMany)
}
