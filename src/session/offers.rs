//! Which SASL mechanisms a client is told of: those that can be served to it, as far as is known.
//!
//! A password can be shown to every host, so PLAIN and LOGIN are always there. A token can be shown
//! only to a host that takes one: XOAUTH2 and OAUTHBEARER are listed where a host that this listener
//! can lead to has offered them to us, or where the operator's own list has them. SCRAM cannot change
//! its name: it is listed where one backend is known before the name is, because all logins of the
//! listener go there under the names they bear, or because it is the backend of the server that the
//! client asked for by SNI, and each of its hosts has offered it to us. Where the gateway
//! checks passwords itself, passwords are all there is.
//!
//! A host is known once it was probed, moments after the start, or somebody has tried to log in to
//! it: until then only the operator's list can announce tokens, though one that is shown all the
//! same is relayed.

use super::{Front, Gateway};
use crate::protocol::Protocol;
use crate::protocol::sasl::{Mechanism, Mechanisms};
use crate::route::Reach;

/// What is served on a listener, as things stand, to a client that asks for the server of this name.
pub(super) fn mechanisms(
    front: &Front,
    gateway: &Gateway,
    server_name: Option<&str>,
) -> Mechanisms {
    if gateway.authenticate.is_some() {
        return Mechanisms::PASSWORD;
    }
    let of = |backend: &str| {
        let backend = gateway.backends.get(backend);
        backend.map(|backend| backend.mechanisms(front.protocol))
    };
    let anywhere = || {
        let backends = gateway.backends.iter();
        let any = backends.map(|backend| backend.mechanisms(front.protocol).0);
        any.fold(Mechanisms::NONE, Mechanisms::or)
    };
    let (any, all) = match gateway.router.reach(&front.name, server_name) {
        Reach::AsTyped(backend) => of(backend).unwrap_or_default(),
        Reach::Backend(backend) => (of(backend).unwrap_or_default().0, Mechanisms::NONE),
        Reach::ServerName(backend) => (anywhere(), of(backend).unwrap_or_default().1),
        Reach::Any => (anywhere(), Mechanisms::NONE),
    };
    let listed = front.capabilities.as_deref().unwrap_or_default();
    Mechanisms::PASSWORD
        .or(any.or(named(front.protocol, listed)).and(Mechanisms::TOKEN))
        .or(all.and(Mechanisms::SCRAM))
}

/// The mechanisms that a list of capabilities names.
fn named(protocol: Protocol, list: &[String]) -> Mechanisms {
    let names = |item: &str| -> Mechanisms {
        let upper = item.to_ascii_uppercase();
        let names = match protocol {
            Protocol::Imap => upper.strip_prefix("AUTH="),
            Protocol::Pop3 => upper.strip_prefix("SASL "),
        };
        let names = names.unwrap_or_default().split(' ');
        names
            .filter_map(|name| Mechanism::from_name(name.as_bytes()))
            .collect()
    };
    let each = list.iter().map(|item| names(item));
    each.fold(Mechanisms::NONE, Mechanisms::or)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_mechanisms() {
        for (protocol, list, want) in [
            (
                Protocol::Imap,
                &["IMAP4rev1", "AUTH=XOAUTH2"][..],
                "XOAUTH2",
            ),
            (
                Protocol::Imap,
                &["auth=plain", "auth=oauthbearer"],
                "PLAIN OAUTHBEARER",
            ),
            (Protocol::Imap, &["SASL XOAUTH2", "AUTH=X"], ""),
            (
                Protocol::Pop3,
                &["UIDL", "SASL PLAIN XOAUTH2"],
                "PLAIN XOAUTH2",
            ),
            (Protocol::Pop3, &["SASL", "XOAUTH2"], ""),
        ] {
            let list: Vec<String> = list.iter().map(|item| (*item).into()).collect();
            let names: Vec<&str> = named(protocol, &list).iter().map(Mechanism::name).collect();
            assert_eq!(names.join(" "), want);
        }
    }
}
