//! What is known of a name for which lookup services are asked.

use super::super::lookup::{self, Lookup, Sent};
use super::super::{Destination, Router};
use super::{Explanation, Facts, HostState};
use crate::protocol::UserName;
use crate::state::Lane;

impl Explanation {
    /// Lookup services decide. None is asked: it would want the password, and may count the attempt.
    pub(super) fn lookups(&mut self, router: &Router, user: &UserName, all: &mut Facts<'_>) {
        for (n, lookup) in router.lookups().iter().enumerate() {
            let name = lookup.name();
            if n == 0 {
                let place = &lookup.config().place;
                self.source = Some(place.file.display().to_string());
                self.line = Some(place.line);
                self.entry = Some(name.to_string());
                self.because(format!(
                    "no entry is for the name, its domain or a domain above: {name} is asked, with the password"
                ));
            } else {
                self.because(format!(
                    "where that says `Auth-Backend: *`, {name} is asked"
                ));
            }
            match lookup.last_known(user, all.protocol) {
                Some(sent) if self.backend.is_none() => self.sent(lookup, sent, user, all),
                Some(_) => {}
                None => self.because(format!(
                    "no last answer of {name} is known: while it is away the login fails for now"
                )),
            }
        }
        if self.backend.is_none() {
            self.held(all);
            if let Some((backend, host)) = self.moved("what a service says", all) {
                self.to(&backend, host.as_deref(), user, all);
            }
        }
        let default = router.by_default(all.ask, user.clone());
        self.because(match default.matched.as_ref().map(|(entry, _)| &entry.to) {
            Some(Destination::Backend { backend, .. }) => {
                format!("the default, {backend}, is for those it leaves to us by `Auth-Backend: *`")
            }
            Some(Destination::Reject(_)) | None => {
                "there is no default behind it that leads anywhere".to_owned()
            }
        });
    }

    /// What a lookup service said last.
    fn sent(&mut self, lookup: &Lookup, sent: Sent, user: &UserName, all: &mut Facts<'_>) {
        let login = sent.user.as_ref().unwrap_or(user);
        self.login = Some(login.to_string());
        self.because(format!(
            "what follows is the last answer of {}: a new one may say otherwise",
            lookup.name()
        ));
        if sent.password.is_some() {
            self.because("the answer brings a password, and holds for the one it was given for");
        }
        match sent.to {
            lookup::Destination::Backend(name) => self.way(&name, None, login, all),
            lookup::Destination::Server(server) => {
                let host = server.name();
                self.held(all);
                if let Some((backend, fixed)) = self.moved(&host, all) {
                    self.to(&backend, fixed.as_deref(), login, all);
                    return;
                }
                all.pass.lane = Lane::Protocol(all.protocol);
                self.because(format!("the answer names the host: {host}"));
                let at = (all.known.pinned)(&all.pass);
                if let Some(at) = at.filter(|at| *at.host != *host) {
                    self.because(format!(
                        "live sessions of the user are on {}: they get a goodbye first",
                        at.host
                    ));
                }
                self.backend = Some(lookup.name().to_string());
                self.host = Some(host.clone());
                self.hosts = vec![HostState {
                    name: host,
                    state: "up",
                    weight: 1,
                }];
            }
        }
    }
}
