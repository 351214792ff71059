//! IMAP4rev1 and IMAP4rev2 up to login (RFC 3501, RFC 9051), and what POP3 needs of a mailbox.

pub mod client;
