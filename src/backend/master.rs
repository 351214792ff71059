//! Logging in to hosts as a master user: one account that may become anybody.
//!
//! The name a host is shown is made of both, `alice*gateway`; the password is the master's. Whether
//! the client is alice has been found out before, or this would let anyone in. Everything but the
//! host's login goes by the user's own name: hash, pins, limits, logs.

use std::fmt;

use crate::protocol::{Credentials, Failure, Secret, UserName};

/// `login_as: { master, password, format }` as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Master {
    /// The master user.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// How both names make the login's.
    pub format: Format,
}

impl Master {
    /// What a host is shown in place of what the client showed.
    ///
    /// # Errors
    /// [`Failure::HostSetup`] where the user's name could be read as more than a name: it holds what
    /// stands between the two, or the whole is no user name any more.
    pub(super) fn login(&self, user: &UserName) -> Result<(UserName, Credentials), Failure> {
        let unusable = |cause: &str| Failure::HostSetup {
            cause: format!("login_as: {cause}"),
        };
        // `eve*root` with the format `{user}*{master}` would be a way to choose the master.
        if let Some(between) = self.format.between()
            && user.as_str().contains(between)
        {
            return Err(unusable(
                "the user's name holds what separates it from the master's",
            ));
        }
        let name = self.format.fill(user.as_str(), &self.name);
        let name = UserName::new(name.as_bytes())
            .map_err(|_| unusable("the login's name gets too long"))?;
        Ok((name, Credentials::Password(self.password.clone())))
    }
}

/// How a user's and a master's name make one: text with `{user}` and perhaps `{master}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    User,
    Master,
}

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// What was expected, for an operator.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind
                .split_once('}')
                .ok_or("expected a `}` for each `{`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(match name {
                "user" => Piece::User,
                "master" => Piece::Master,
                _ => return Err("expected `{user}` and `{master}`, nothing else in braces"),
            });
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        let count = |which: Piece| pieces.iter().filter(|piece| **piece == which).count();
        let (users, masters) = (count(Piece::User), count(Piece::Master));
        let format = Format(pieces);
        match (users, masters) {
            (1, 0) => Ok(format),
            (1, 1) if format.between().is_some() => Ok(format),
            (1, 1) => Err("expected something between `{user}` and `{master}`, like `*`"),
            _ => Err("expected `{user}` once, and `{master}` once or not at all"),
        }
    }

    /// What stands between both names.
    fn between(&self) -> Option<&str> {
        self.0.windows(3).find_map(|pieces| match pieces {
            [Piece::User, Piece::Text(text), Piece::Master]
            | [Piece::Master, Piece::Text(text), Piece::User] => Some(text.as_str()),
            _ => None,
        })
    }

    fn fill(&self, user: &str, master: &str) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::User => user,
            Piece::Master => master,
        });
        pieces.collect()
    }
}

impl Default for Format {
    /// As Dovecot has it: `{user}*{master}`.
    fn default() -> Self {
        Format(vec![Piece::User, Piece::Text("*".into()), Piece::Master])
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fill("{user}", "{master}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(format: &str, user: &str) -> Result<String, String> {
        let master = Master {
            name: "gateway".into(),
            password: Secret::new(b"master's own").unwrap(),
            format: Format::new(format).map_err(str::to_owned)?,
        };
        let user = UserName::new(user.as_bytes()).unwrap();
        let (name, credentials) = master.login(&user).map_err(|failure| failure.to_string())?;
        assert_eq!(credentials.secret(), Some(&master.password));
        Ok(name.to_string())
    }

    #[test]
    fn both_names_make_one() {
        for (format, user, want) in [
            ("{user}*{master}", "alice", "alice*gateway"),
            (
                "{user}*{master}",
                "alice@example.org",
                "alice@example.org*gateway",
            ),
            ("{master}/{user}", "alice", "gateway/alice"),
            ("x-{user}+{master}", "alice", "x-alice+gateway"),
            ("{user}", "a*b", "a*b"),
            ("{user}@master.example", "alice@x", "alice@x@master.example"),
        ] {
            assert_eq!(login(format, user).as_deref(), Ok(want));
        }
        assert_eq!(Format::new("{user}*{master}"), Ok(Format::default()));
        assert_eq!(Format::default().to_string(), "{user}*{master}");
    }

    #[test]
    fn a_name_cannot_choose_the_master() {
        for (format, user) in [
            ("{user}*{master}", "eve*root"),
            ("{user}*{master}", "*"),
            ("{user}**{master}", "eve**root"),
            ("{master}/{user}", "eve/alice"),
        ] {
            assert!(login(format, user).is_err(), "{format} {user}");
        }
        // What a name may hold is not read as a format.
        assert_eq!(
            login("{user}*{master}", "{master}").unwrap(),
            "{master}*gateway"
        );
        assert!(login("{user}*{master}", &"a".repeat(512)).is_err());
    }

    #[test]
    fn formats_that_are_none() {
        for format in [
            "",
            "gateway",
            "{master}",
            "{user}{master}",
            "{user}*{user}",
            "{user}*{master}*{master}",
            "{user}*{Master}",
            "{user",
            "{user}*{}",
        ] {
            assert!(Format::new(format).is_err(), "{format}");
        }
    }
}
