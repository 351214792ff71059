//! The people of the tests. Every password is one that something on the way might mangle.

/// A user and what proves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
}

/// The user most tests are about.
pub(crate) const ALICE: User = User {
    name: "alice",
    password: r#"pass word "quoted\ ünï"#,
};

/// Another, whose password is plain: clients with poor quoting use it.
pub(crate) const BOB: User = User {
    name: "bob",
    password: "battery-staple-31",
};

/// Passwords that differ in what may go wrong with them.
pub(crate) const AWKWARD: &[User] = &[
    ALICE,
    BOB,
    User {
        name: "spaces",
        password: "  two before, two  between and one behind ",
    },
    User {
        name: "quotes",
        password: r#"""a "quoted" word""#,
    },
    User {
        name: "backslashes",
        password: r"\\ back\slashes\",
    },
    User {
        name: "cyrillic",
        password: "пароль и ещё слово",
    },
    User {
        name: "literal",
        password: "ends like a literal {12+}",
    },
    User {
        name: "percents",
        password: "100%s %n %25 $HOME ${HOME} `id`",
    },
    User {
        name: "long",
        password: "a-long-one-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789",
    },
];

/// What users have whom a scripted host or a demo store lets in, whatever they show. It must not be found in a log
/// either, nor the one with letters that are not ASCII.
pub(crate) const ANYBODYS: &str = "swordfish-4711";
pub(crate) const ANYBODYS_UTF_8: &str = "swordfish-ünï";

/// Passwords that tests give wrongly. They too must not be found in a log.
pub(crate) const WRONG: &str = "not-the-password-77";
