//! The keys of proxy.yaml: shape, default and purpose of each, in the order in which the manual names
//! them. `gatepost schema` is made of this.

use crate::backend::config::MAX_WEIGHT;

use super::{Holds, Keys, Leaf, Shape, leaf, list, map, may, must};

static BOOL: Shape = leaf("`true` or `false`", Leaf::Bool);
static LINE: Shape = leaf("text", Leaf::Line);
static NAME: Shape = leaf("a name", Leaf::Name);
static SECRET: Shape = leaf("text", Leaf::Secret);
static SECRET_FILE: Shape = leaf("the path of a file", Leaf::File(Holds::Secret));
static DURATION: Shape = leaf("a duration, like `30s`", Leaf::Duration(0));
/// A wait of no time at all would fail every session.
static WAIT: Shape = leaf("a duration, like `30s`", Leaf::Duration(1));
static SIZE: Shape = leaf("a size, like `64KiB`", Leaf::Size(0, 1 << 30));
static NETWORK: Shape = leaf("a network, like `10.0.0.0/8`", Leaf::Network);
static NETWORKS: Shape = list("a list of networks, like `[10.0.0.0/8]`", &NETWORK);
static CERTIFICATES: Shape = leaf("the path of a PEM file", Leaf::File(Holds::Certificates));
static KEY_FILE: Shape = leaf("the path of a PEM file", Leaf::File(Holds::Key));
static ANY_FILE: Shape = leaf("the path of a file", Leaf::File(Holds::Anything));
static BACKEND: Shape = leaf("the name of a backend", Leaf::Backend);
static U32: Shape = leaf("a whole number", Leaf::Count(0, u32::MAX as u64));
static WEIGHT: Shape = leaf("a whole number", Leaf::Count(0, MAX_WEIGHT as u64));
static FROM_ONE: Shape = leaf("a whole number", Leaf::Count(1, u32::MAX as u64));
static ANYTHING: Shape = map("a map", Keys::Any);

/// proxy.yaml.
pub static ROOT: Shape = map(
    "a map with `listeners`, `backends` and `users`",
    Keys::Known(&[
        must("listeners", &LISTENERS, "where clients connect"),
        may(
            "tls",
            &TLS,
            "certificates towards clients; none: a self-signed one",
        ),
        must("backends", &BACKENDS, "the mail servers, by name"),
        may("users", &USERS, "who goes where"),
        may("users_from", &USERS_FROM, "further sources of the map"),
        may("default_domain", &DOMAIN, "added to names without a domain"),
        may("pop3", &POP3, "how POP3 is made from IMAP"),
        may("limits", &LIMITS, "how much is let in"),
        may("timeouts", &TIMEOUTS, "how long is waited"),
        may("admin", &ADMIN, "the admin port"),
        may("state", &STATE, "where moves, drains and weights are kept"),
        may("log", &LOG, "the log"),
        may("threads", &THREADS, "worker threads; default: the cores"),
        may(
            "authenticate",
            &AUTHENTICATE,
            "the gateway itself checks passwords",
        ),
    ]),
);

static LISTENERS: Shape = list("a list of URLs or maps", &LISTENER);

static LISTENER: Shape = Shape {
    what: "a URL, like `imaps://0.0.0.0:993`, or a map with `bind`",
    scalar: Some(Leaf::Listen),
    list: None,
    map: Some(Keys::Known(&[
        must("bind", &BIND, "the URL"),
        may("name", &NAME, "label in logs and metrics"),
        may("cleartext_login", &BOOL, "allow a login without TLS"),
        may(
            "proxy_protocol",
            &NETWORKS,
            "from these a PROXY header is required",
        ),
        may(
            "client_ca",
            &CERTIFICATES,
            "ask for client certificates of this CA",
        ),
        may(
            "backend",
            &BACKEND,
            "every login of this listener goes there",
        ),
        may(
            "server_names",
            &SERVER_NAMES,
            "by the server that a client asks for (SNI): where users go whom the map does not name",
        ),
        may("allow", &NETWORKS, "networks that may connect"),
        may(
            "capabilities",
            &CAPABILITIES,
            "list shown before login instead of ours",
        ),
        may("greeting", &LINE, "text of the greeting"),
    ])),
};

static SERVER_NAMES: Shape = map("a map of server names to backends", Keys::Free(&BACKEND));
static BIND: Shape = leaf("a URL, like `imaps://0.0.0.0:993`", Leaf::Listen);
static CAPABILITIES: Shape = list("a list of capabilities", &LINE);

static TLS: Shape = map(
    "a map with `cert` and `key`",
    Keys::Known(&[
        may("cert", &CERTIFICATES, "certificate chain, PEM"),
        may("key", &KEY_FILE, "private key, PEM"),
        may("certificates", &PAIRS, "several pairs, chosen by SNI"),
        may("min_version", &TLS_VERSION, "lowest version"),
        may(
            "ticket_key_file",
            &ANY_FILE,
            "shares session tickets among replicas",
        ),
    ]),
);

static TLS_VERSION: Shape = leaf("a TLS version", Leaf::Word(&["TLSv1.2", "TLSv1.3"]));
static PAIRS: Shape = list("a list of `{ cert, key }`", &PAIR);
static PAIR: Shape = map(
    "a map with `cert` and `key`",
    Keys::Known(&[
        must("cert", &CERTIFICATES, "certificate chain, PEM"),
        must("key", &KEY_FILE, "private key, PEM"),
    ]),
);

static BACKENDS: Shape = map("a map of names to URLs", Keys::Free(&BACKEND_VALUE));

static BACKEND_VALUE: Shape = Shape {
    what: "a URL, like `imap://10.0.0.5`, a list of URLs, or a map with `hosts`",
    scalar: Some(Leaf::Host),
    list: Some(&HOST_URL),
    map: Some(Keys::Known(&[
        may("hosts", &HOSTS, "interchangeable hosts"),
        may("discover", &HOST_URL, "every address this name resolves to"),
        may("tls", &BACKEND_TLS, "TLS towards the hosts"),
        may("balance", &BALANCE, "how a host is chosen"),
        may("failover", &BOOL, "whether users leave a host that is down"),
        may("health", &HEALTH, "how hosts are probed, or `none`"),
        may(
            "forward_client",
            &FORWARD,
            "how hosts learn who the client is",
        ),
        may("connect_timeout", &WAIT, "longest wait for a connection"),
        may("greeting_timeout", &WAIT, "longest wait for the greeting"),
        may("login_timeout", &WAIT, "greeting to accepted login"),
        may("retry_for", &DURATION, "how long a login is tried again"),
        may("max_sessions", &U32, "most sessions on a host; 0: no limit"),
        may(
            "logins_in_flight",
            &FROM_ONE,
            "most logins in flight on a host",
        ),
        may(
            "protocols",
            &PROTOCOLS,
            "what users of this backend may use",
        ),
        may(
            "maintenance",
            &LINE,
            "if set, logins are answered with this text",
        ),
        may("login_as", &LOGIN_AS, "how to log in to the hosts"),
        may("pop3", &POP3, "overrides the top-level pop3"),
    ])),
};

static HOST_URL: Shape = leaf("a URL, like `imap://10.0.0.5`", Leaf::Host);
static HOSTS: Shape = list("a list of URLs or maps", &HOST);

static HOST: Shape = Shape {
    what: "a URL, like `imap://10.0.0.5`, or a map of endpoints",
    scalar: Some(Leaf::Host),
    list: None,
    map: Some(Keys::Known(&[
        may("name", &NAME, "its name; the key of the hash"),
        may("imap", &IMAP_ENDPOINT, "where it speaks IMAP"),
        may("pop3", &POP3_ENDPOINT, "where it speaks POP3"),
        may("submission", &SUBMISSION_ENDPOINT, "where it takes mail"),
        may("weight", &WEIGHT, "its share of the users"),
    ])),
};

static IMAP_ENDPOINT: Shape = leaf("a URL, like `imap://10.0.0.5`", Leaf::Endpoint("imap"));
static POP3_ENDPOINT: Shape = leaf("a URL, like `pop3://10.0.0.5`", Leaf::Endpoint("pop3"));
static SUBMISSION_ENDPOINT: Shape = leaf(
    "a URL, like `submission://10.0.0.5`",
    Leaf::Endpoint("submission"),
);

static BACKEND_TLS: Shape = map(
    "a map",
    Keys::Known(&[
        may(
            "ca",
            &CERTIFICATES,
            "CA file; the system's roots without it",
        ),
        may("name", &DOMAIN, "the name the certificate must bear"),
        may("verify", &BOOL, "whether the certificate is verified"),
        may("pins", &PINS, "public keys, one of which must match"),
        may("cert", &CERTIFICATES, "our own certificate"),
        may("key", &KEY_FILE, "and its key"),
    ]),
);

static PINS: Shape = list("a list of `sha256/…`", &PIN);
static PIN: Shape = leaf("`sha256/…`", Leaf::Pin);
static BALANCE: Shape = leaf("a word", Leaf::Word(&["sticky", "least-sessions"]));
static FORWARD: Shape = leaf(
    "a word",
    Leaf::Word(&["auto", "id", "xclient", "proxy-v1", "proxy-v2", "none"]),
);
static PROTOCOLS: Shape = list("a list of protocols, like `[imap, pop3]`", &PROTOCOL);
static PROTOCOL: Shape = leaf("a protocol", Leaf::Word(&["imap", "pop3", "submission"]));

static HEALTH: Shape = Shape {
    what: "a map, or `none`",
    scalar: Some(Leaf::Word(&["none"])),
    list: None,
    map: Some(Keys::Known(&[
        may("interval", &WAIT, "between two probes"),
        may("timeout", &WAIT, "longest wait for an answer"),
        may("rise", &FROM_ONE, "good probes until up"),
        may("fall", &FROM_ONE, "bad probes until down"),
        may("login", &PROBE_LOGIN, "a user to log in as"),
    ])),
};

static PROBE_LOGIN: Shape = map(
    "a map with `user` and `password`",
    Keys::Known(&[
        must("user", &LINE, "the user"),
        may("password", &SECRET, "the password"),
        may("password_file", &SECRET_FILE, "or the file it is in"),
    ]),
);

static LOGIN_AS: Shape = map(
    "a map with `master` or `oauth2`",
    Keys::Known(&[
        may("master", &LINE, "the master user"),
        may("password", &SECRET, "its password"),
        may("password_file", &SECRET_FILE, "or the file it is in"),
        may("format", &LINE, "of the login name"),
        may("oauth2", &ANYTHING, "log in with a token"),
    ]),
);

static AUTHENTICATE: Shape = map(
    "a map with `passwords`",
    Keys::Known(&[must(
        "passwords",
        &PASSWORDS,
        "a file of lines `user:{SCHEME}hash`",
    )]),
);
static PASSWORDS: Shape = leaf("the path of a file", Leaf::File(Holds::Passwords));

static USERS: Shape = map("a map of users to backends", Keys::Free(&USER));

/// The value of an entry of the users map.
pub static USER: Shape = Shape {
    what: "the name of a backend, or a map",
    scalar: Some(Leaf::Backend),
    list: None,
    map: Some(Keys::Known(&[
        may("backend", &BACKEND, "where the user goes"),
        may("login", &LINE, "another login name"),
        may("host", &NAME, "a fixed host of the backend"),
        may("reject", &LINE, "nowhere: this is told"),
    ])),
};

static USERS_FROM: Shape = list("a list of sources", &SOURCE);
static SOURCE: Shape = map(
    "a map with `file` or `http`",
    Keys::Known(&[
        may("file", &ANY_FILE, "the same map, without \"*\""),
        may("http", &HTTP_URLS, "nginx's auth_http"),
        may("timeout", &WAIT, "longest wait for an answer"),
        may("cache", &DURATION, "how long an answer is kept"),
        may("headers", &HEADERS, "sent with each request"),
    ]),
);
static HTTP_URLS: Shape = Shape {
    what: "a URL, or a list of URLs",
    scalar: Some(Leaf::Http),
    list: Some(&HTTP_URL),
    map: None,
};
static HTTP_URL: Shape = leaf("a URL", Leaf::Http);
static HEADERS: Shape = map("a map of names to texts", Keys::Free(&HEADER));
static HEADER: Shape = Shape {
    what: "text, or a map with `file`",
    scalar: Some(Leaf::Line),
    list: None,
    map: Some(Keys::Known(&[must(
        "file",
        &SECRET_FILE,
        "the file it is in",
    )])),
};
static DOMAIN: Shape = leaf("a domain", Leaf::Domain);

static POP3: Shape = map(
    "a map",
    Keys::Known(&[
        may("mailbox", &LINE, "the mailbox a maildrop is"),
        may("uidl", &UIDL, "how unique ids look"),
        may("mark_seen", &MARK_SEEN, "when messages are marked \\Seen"),
        may("delete", &DELETE, "what QUIT does to DELEd messages"),
        may(
            "hide_deleted",
            &BOOL,
            "leave out messages that carry \\Deleted",
        ),
        may("sizes", &SIZES, "what LIST announces"),
        may("prefetch", &SIZE, "how far to read ahead; 0: not at all"),
        may("lock", &BOOL, "one POP3 session per maildrop"),
    ]),
);
static UIDL: Shape = leaf("a preset or a template", Leaf::Uidl);
static MARK_SEEN: Shape = leaf("a word", Leaf::Word(&["quit", "never"]));
static DELETE: Shape = leaf("a word", Leaf::Word(&["expunge", "trash", "flag"]));
static SIZES: Shape = leaf("a word", Leaf::Word(&["trust", "learn", "exact"]));

static LIMITS: Shape = map(
    "a map",
    Keys::Known(&[
        may("connections", &CONNECTIONS, "in all"),
        may("per_ip", &FROM_ONE, "connections from one address"),
        may("per_user", &FROM_ONE, "sessions of one user"),
        may(
            "per_user_ip",
            &FROM_ONE,
            "sessions of one user from one address",
        ),
        may("trusted", &NETWORKS, "exempt from per_ip and penalties"),
        may("failed_logins", &FAILED_LOGINS, "rates"),
        may(
            "failure_delay",
            &DURATION,
            "doubled for each repeated failure",
        ),
        may(
            "logins_per_session",
            &FROM_ONE,
            "failed logins until the close",
        ),
        may("bad_commands", &FROM_ONE, "before login, until the close"),
        may("line", &LINE_SIZE, "longest command before login"),
    ]),
);
static CONNECTIONS: Shape = leaf("a whole number", Leaf::Count(1, 10_000_000));
/// A command of RFC 9051 §4 may need 1 KiB; the pre-login budget of a connection is 64 KiB.
static LINE_SIZE: Shape = leaf("a size, like `8KiB`", Leaf::Size(1024, 32 * 1024));
static RATE: Shape = leaf("a rate, like `100/10m`", Leaf::Rate);
static FAILED_LOGINS: Shape = map(
    "a map with `per_ip` and `per_user`",
    Keys::Known(&[
        may("per_ip", &RATE, "of one address"),
        may("per_user", &RATE, "of one user, distinct passwords"),
    ]),
);

static TIMEOUTS: Shape = map(
    "a map",
    Keys::Known(&[
        may("proxy_header", &WAIT, "for the PROXY header"),
        may("tls_handshake", &WAIT, "for the TLS handshake"),
        may("login", &WAIT, "accept to login in all"),
        may("idle", &WAIT, "IMAP, no byte either way"),
        may("pop3_idle", &WAIT, "POP3, no command"),
        may("keepalive", &DURATION, "TCP keepalive on both legs"),
        may("drain_delay", &DURATION, "not ready, but still accepting"),
        may("drain", &DURATION, "how long sessions may finish"),
    ]),
);

static ADMIN: Shape = map(
    "a map with `bind`",
    Keys::Known(&[
        must("bind", &ADDRESS, "where it listens"),
        may("token", &SECRET, "the bearer token"),
        may("token_file", &SECRET_FILE, "or the file it is in"),
    ]),
);
static ADDRESS: Shape = leaf(
    "an address and a port, like `127.0.0.1:9090`",
    Leaf::Address,
);

static STATE: Shape = Shape {
    what: "`memory`, a URL, or a map with `url`",
    scalar: Some(Leaf::State),
    list: None,
    map: Some(Keys::Known(&[
        must("url", &STATE_URL, "the store"),
        may("password", &SECRET, "its password"),
        may("password_file", &SECRET_FILE, "or the file it is in"),
        may("prefix", &LINE, "before every key"),
    ])),
};
static STATE_URL: Shape = leaf("a URL", Leaf::State);

static LOG: Shape = map(
    "a map",
    Keys::Known(&[
        may("level", &LEVEL, "lowest level written"),
        may("format", &FORMAT, "for people or machines"),
        may("output", &OUTPUT, "stderr, syslog, or a file"),
        may(
            "transcript",
            &TRANSCRIPT,
            "conversations in the log, credentials hidden",
        ),
    ]),
);
static TRANSCRIPT: Shape = map(
    "a map with `user` or `ip`",
    Keys::Known(&[
        may("user", &LINE, "of this user"),
        may("ip", &NETWORK, "of this address or network"),
    ]),
);
static LEVEL: Shape = leaf(
    "a level",
    Leaf::Word(&["error", "warn", "info", "debug", "trace"]),
);
static FORMAT: Shape = leaf("a word", Leaf::Word(&["text", "json"]));
static OUTPUT: Shape = leaf("`stderr`, `syslog`, or a path", Leaf::Path);
static THREADS: Shape = leaf("a whole number", Leaf::Count(1, 1024));
