//! What a client is told that it may do before login, and what it may do, told or not.

use super::Server;
use crate::protocol::sasl::{self, Mechanism, Mechanisms};
use crate::protocol::{Channel, ClearLogin, StartTls};

impl Server {
    /// What is told before login: what we serve ourselves, and how to log in.
    pub(super) fn capabilities(&self) -> String {
        let mut list = String::from("CAPABILITY");
        let mut add = |item: &str| {
            list.push(' ');
            list.push_str(item);
        };
        let (starttls, may_log_in) = (self.offers_starttls(), self.may_log_in());
        match &self.settings.capabilities {
            // The operator's list, without what would be a lie on this channel.
            Some(own) => own
                .iter()
                .filter(|item| {
                    let word = item.to_ascii_uppercase();
                    (word != "STARTTLS" || starttls)
                        && (!word.starts_with("AUTH=") || may_log_in)
                        && self.may_list(&word)
                        && word != "LOGINDISABLED"
                })
                .for_each(|item| add(item)),
            None => {
                add("IMAP4rev1 SASL-IR LITERAL+ ID ENABLE");
                if starttls {
                    add("STARTTLS");
                }
                if may_log_in {
                    for mechanism in self.settings.mechanisms.iter() {
                        add(&format!("AUTH={}", mechanism.name()));
                    }
                    if self.certificate.is_some() {
                        add("AUTH=EXTERNAL");
                    }
                }
            }
        }
        if !may_log_in {
            add("LOGINDISABLED");
        }
        list
    }

    /// Whether an item of the operator's list is no lie: a mechanism must be one that is served.
    fn may_list(&self, item: &str) -> bool {
        match item.strip_prefix("AUTH=") {
            Some(sasl::EXTERNAL) => self.certificate.is_some(),
            Some(name) => Mechanism::from_name(name.as_bytes())
                .is_some_and(|mechanism| self.settings.mechanisms.has(mechanism)),
            None => true,
        }
    }

    fn offers_starttls(&self) -> bool {
        matches!(
            self.settings.channel,
            Channel::Clear {
                starttls: StartTls::Yes,
                ..
            }
        )
    }

    pub(super) fn may_log_in(&self) -> bool {
        !matches!(
            self.settings.channel,
            Channel::Clear {
                login: ClearLogin::Refused,
                ..
            }
        )
    }

    /// Whether a mechanism can be used, on the list or not: a token goes to whatever host the user has,
    /// and only that one knows.
    pub(super) fn serves(&self, mechanism: Mechanism) -> bool {
        let served = self.settings.mechanisms.or(Mechanisms::TOKEN);
        served.has(mechanism)
    }
}
