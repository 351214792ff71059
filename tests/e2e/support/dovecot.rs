//! Dovecot with private settings: IMAP and POP3, in clear and TLS, a Maildir for each user.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::pki::Pki;
use super::process::Running;
use super::scratch::{MAIL_UID, free_port, own};
use super::users::AWKWARD;
use super::{Imap, Scratch, need};

/// A Dovecot that runs until this is dropped.
pub(crate) struct Dovecot {
    running: Running,
    mail: PathBuf,
    /// In clear, STARTTLS offered.
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    pub(crate) imaps: u16,
    pub(crate) pop3s: u16,
}

impl Dovecot {
    pub(crate) fn start(scratch: &Scratch, pki: &Pki) -> Dovecot {
        Dovecot::with(scratch, pki, "")
    }

    /// With further settings.
    pub(crate) fn with(scratch: &Scratch, pki: &Pki, more: &str) -> Dovecot {
        Dovecot::with_certificate(scratch, &pki.cert, &pki.key, more)
    }

    /// With a certificate of its own and further settings.
    pub(crate) fn with_certificate(
        scratch: &Scratch,
        cert: &std::path::Path,
        key: &std::path::Path,
        more: &str,
    ) -> Dovecot {
        let ports: [u16; 4] = std::array::from_fn(|_| free_port());
        let [imap, pop3, imaps, pop3s] = ports;
        let mail = scratch.dir("mail");
        own(&mail);
        scratch.dir("dovecot/run");
        scratch.dir("dovecot/state");
        let mut users = String::new();
        for user in AWKWARD {
            let password = BASE64.encode(user.password);
            writeln!(users, "{}:{{PLAIN.b64}}{password}::::::", user.name).unwrap();
        }
        // Read by Dovecot's unprivileged processes.
        scratch.write("dovecot/users", users);
        let conf = scratch.write(
            "dovecot/dovecot.conf",
            format!(
                "base_dir = {dir}/dovecot/run
state_dir = {dir}/dovecot/state
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
auth_mechanisms = plain login
disable_plaintext_auth = no
auth_failure_delay = 0
auth_username_format = %Lu
mail_max_userip_connections = 0
mail_location = maildir:~/Maildir
mailbox_list_index = no
first_valid_uid = 0
{identity}passdb {{
  driver = passwd-file
  args = username_format=%u {dir}/dovecot/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
# Wrong passwords of one test do not slow the next one down.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
{more}
",
                dir = scratch.path().display(),
                cert = cert.display(),
                key = key.display(),
                identity = identity(),
                uid = mail_user().0,
                gid = mail_user().1,
            ),
        );
        let mut command = Command::new(need::program("dovecot").unwrap());
        command.arg("-F").arg("-c").arg(conf);
        let mut running = Running::start("dovecot", &command, &scratch.join("dovecot.log"));
        for port in ports {
            running.wait_for_port(port);
        }
        Dovecot {
            running,
            mail,
            imap,
            pop3,
            imaps,
            pop3s,
        }
    }

    /// Puts messages into a user's INBOX; their UIDs are 1, 2, 3 … in this order.
    pub(crate) fn deliver(&self, user: &str, messages: &[Vec<u8>]) {
        let maildir = self.mail.join(user).join("Maildir");
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(sub)).unwrap();
        }
        for (n, message) in messages.iter().enumerate() {
            // Dovecot numbers new files by the time in their names.
            let name = format!("{}.M{n}P1.test", 1_700_000_000 + n);
            fs::write(maildir.join("new").join(name), message).unwrap();
        }
        own(&self.mail);
    }

    /// Waits until its log has a line with all of `words`, and gives it.
    pub(crate) fn logged(&mut self, words: &[&str]) -> String {
        self.running.logged(words)
    }

    pub(crate) fn log(&self) -> String {
        self.running.words()
    }

    /// The octets of a message as its file has them, by UID, line ends made CRLF.
    pub(crate) fn inbox(&self, user: super::users::User) -> Imap {
        let mut imap = Imap::logged_in(self.imap, user);
        imap.command("SELECT INBOX").ok();
        imap
    }
}

/// Dovecot started by somebody who is not root keeps to that user.
fn identity() -> String {
    if need::is_root() {
        return String::new();
    }
    let name = |flag: &str| {
        let out = super::process::run_ok(Command::new("id").arg(flag));
        String::from_utf8_lossy(&out).trim().to_owned()
    };
    let (user, group) = (name("-un"), name("-gn"));
    format!(
        "default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
"
    )
}

fn mail_user() -> (u32, u32) {
    if need::is_root() {
        return (MAIL_UID, MAIL_UID);
    }
    use std::os::unix::fs::MetadataExt;
    let me = fs::metadata("/proc/self").unwrap();
    (me.uid(), me.gid())
}
