//! The commands of a client before its login, one method each.

use super::{Asked, Server, Talk};
use crate::protocol::pop3::grammar::{Bad, Command};
use crate::protocol::pop3::reply::{self, Charset};
use crate::protocol::sasl::{self, Turn};
use crate::protocol::{
    Channel, Closing, Credentials, Failure, Login, Mechanism, Refused, Secret, UserName, login,
};

impl Server {
    /// One command. `user` is there if the command before was an accepted USER.
    pub(super) fn command(&mut self, line: &[u8], user: Option<UserName>) {
        match Command::parse(line) {
            Ok(Command::Capa) => self.capa(),
            Ok(Command::Stls) => self.stls(),
            Ok(Command::User(name)) => self.user(name),
            Ok(Command::Pass(password)) => self.pass(user, password),
            Ok(Command::Auth { mechanism, initial }) => self.auth(mechanism, initial),
            Ok(Command::AuthList) => self.auth_list(),
            Ok(Command::Apop) => {
                let name = "APOP";
                self.failed_here(Failure::UnsupportedMechanism { name });
            }
            Ok(Command::Utf8) => {
                self.charset = Charset::Utf8;
                self.say("+OK UTF-8 it is");
            }
            Ok(Command::Lang(tag)) => self.out.extend(reply::lang(tag)),
            Ok(Command::Xclient(pairs)) => self.xclient(pairs),
            Ok(Command::Noop) => self.say("+OK"),
            Ok(Command::Quit) => {
                self.say("+OK bye");
                self.talk = Talk::Closed(Closing::Logout);
            }
            // Commands of the other state are what comes behind a failed PASS when a whole session
            // is pipelined: refused, but no sign of a client gone wrong.
            Ok(
                Command::Stat
                | Command::List(_)
                | Command::Uidl(_)
                | Command::Retr(_)
                | Command::Top(..)
                | Command::Dele(_)
                | Command::Rset
                | Command::Last,
            ) => self.say("-ERR log in first"),
            Err(Bad::Unknown) => self.bad("unknown command"),
            Err(Bad::Arguments(expected)) => self.bad(&format!("expected {expected}")),
            // A browser was made to talk to us: nothing it sent may act, nothing is reflected.
            Err(Bad::Http) => self.talk = Talk::Closed(Closing::Http),
        }
    }

    /// CAPA (RFC 2449 §5). What the channel decides is left out of a configured list too: STLS under
    /// TLS, and means to show a password where none is taken.
    fn capa(&mut self) {
        let login = self.may_log_in();
        let stls = self.offers_stls();
        let list = match &self.settings.capabilities {
            Some(list) => {
                let mechanisms = self.mechanisms();
                let list = list.iter().filter_map(|line| {
                    let mut words = line.split(' ');
                    let fits = match words.next() {
                        Some(tag) if tag.eq_ignore_ascii_case("STLS") => stls,
                        Some(tag) if tag.eq_ignore_ascii_case("USER") => login,
                        Some(tag) if tag.eq_ignore_ascii_case("SASL") => {
                            let listed = |word: &&str| {
                                (mechanisms.iter()).any(|it| it.eq_ignore_ascii_case(word))
                            };
                            let words: Vec<&str> = words.filter(listed).collect();
                            return (!words.is_empty())
                                .then(|| format!("{tag} {}", words.join(" ")));
                        }
                        _ => true,
                    };
                    fits.then(|| line.clone())
                });
                let list: Vec<String> = list.collect();
                reply::list("capabilities follow", list.iter().map(String::as_str))
            }
            None => {
                let mut list = reply::CAPABILITIES.to_vec();
                let sasl = format!("SASL {}", self.mechanisms().join(" "));
                if login {
                    list.extend([reply::LOGIN_CAPABILITIES[0], &sasl]);
                }
                if stls {
                    list.push("STLS");
                }
                reply::list("capabilities follow", list)
            }
        };
        self.out.extend(list);
    }

    /// STLS (RFC 2595 §4). After an accepted UTF8 it is refused, as RFC 6856 §2.1 allows: the client
    /// must not send it then. Whatever stands behind it in clear is never acted on.
    fn stls(&mut self) {
        if self.settings.channel == Channel::Tls {
            self.say("-ERR TLS is active already");
        } else if !self.offers_stls() {
            self.say("-ERR STLS is not offered here");
        } else if self.charset == Charset::Utf8 {
            self.say("-ERR not after UTF8");
        } else {
            self.say("+OK begin TLS");
            self.lines.clear();
            self.talk = Talk::Tls(Asked::No);
        }
    }

    /// USER (RFC 1939 §7): accepted for every name there could be, since a refusal would tell which
    /// there are.
    fn user(&mut self, name: &[u8]) {
        if !self.may_log_in() {
            return self.refuse(Refused {
                failure: Failure::PrivacyRequired,
                user: UserName::new(name).ok(),
                mechanism: Some(Mechanism::UserPass),
            });
        }
        match UserName::new(name) {
            Ok(name) => {
                self.say("+OK");
                self.talk = Talk::Password(name);
            }
            Err(_) => self.bad("not a name"),
        }
    }

    /// PASS (RFC 1939 §7): only directly behind an accepted USER.
    fn pass(&mut self, user: Option<UserName>, password: &[u8]) {
        let refused = |failure, user| Refused {
            failure,
            user,
            mechanism: Some(Mechanism::UserPass),
        };
        if !self.may_log_in() {
            return self.refuse(refused(Failure::PrivacyRequired, user));
        }
        let Some(user) = user else {
            return self.say("-ERR USER first");
        };
        match Secret::new(password) {
            Ok(secret) => {
                self.talk = Talk::Login(Some(Login {
                    user,
                    credentials: Credentials::Password(secret),
                    mechanism: Mechanism::UserPass,
                }));
            }
            Err(_) => self.failed_here(refused(Failure::Credentials, Some(user))),
        }
    }

    /// XCLIENT: addresses are told by PROXY headers only, but a gateway's TTL is believed of anybody:
    /// it can only shorten the way.
    fn xclient(&mut self, pairs: &[u8]) {
        let told = pairs
            .split(|octet| *octet == b' ')
            .filter(|pair| {
                pair.get(..4)
                    .is_some_and(|key| key.eq_ignore_ascii_case(b"TTL="))
            })
            .filter_map(|pair| login::ttl(pair.get(4..)?));
        self.ttl = login::lowest(self.ttl, told.min());
        self.say("+OK addresses are ignored here");
    }

    /// AUTH (RFC 5034 §4): `AUTH mechanism [initial-response]`.
    fn auth(&mut self, mechanism: &[u8], initial: Option<&[u8]>) {
        if !self.may_log_in() {
            let mechanism = sasl::Mechanism::from_name(mechanism);
            return self.refuse(Refused {
                failure: Failure::PrivacyRequired,
                user: None,
                mechanism: mechanism.map(sasl::Mechanism::of_login),
            });
        }
        let exchange = match (&self.certificate, sasl::Mechanism::from_name(mechanism)) {
            // A token goes to whatever host the user has, listed here or not: only that one knows.
            (_, Some(mechanism))
                if (self.settings.mechanisms.or(sasl::Mechanisms::TOKEN)).has(mechanism) =>
            {
                Some(sasl::Server::new(mechanism))
            }
            (Some(shown), None) if mechanism.eq_ignore_ascii_case(sasl::EXTERNAL.as_bytes()) => {
                Some(sasl::Server::external(shown.clone()))
            }
            _ => None,
        };
        let Some(mut exchange) = exchange else {
            let name = sasl::known_name(mechanism);
            return self.failed_here(Failure::UnsupportedMechanism { name });
        };
        let turn = exchange.start(initial);
        self.turn(exchange, turn);
    }

    /// AUTH alone lists the mechanisms: no RFC has it, Outlook asks so.
    fn auth_list(&mut self) {
        let list = reply::list("mechanisms follow", self.mechanisms());
        self.out.extend(list);
    }

    /// The names of what is served here and now.
    fn mechanisms(&self) -> Vec<&'static str> {
        if !self.may_log_in() {
            return Vec::new();
        }
        let served = self.settings.mechanisms.iter();
        let names = served.map(sasl::Mechanism::name);
        names.chain(self.external()).collect()
    }

    pub(super) fn turn(&mut self, exchange: sasl::Server, turn: Turn) {
        match turn {
            Turn::Challenge(text) => {
                self.say(&format!("+ {text}"));
                self.talk = Talk::Sasl(exchange);
            }
            Turn::Login(login) => self.talk = Talk::Login(Some(login)),
            Turn::Failed => self.failed_here(Failure::Credentials),
            Turn::Aborted => self.say("-ERR aborted"),
            Turn::NotBase64 => self.bad("expected base64"),
        }
    }

    /// EXTERNAL's name, for a client that has shown a certificate.
    fn external(&self) -> Option<&'static str> {
        self.certificate.as_ref().map(|_| sasl::EXTERNAL)
    }
}
