#!/bin/bash
# GNU Mailutils imap4d and pop3d: users of the system, one mbox each.
. "$(dirname "$0")/private.sh"
mkdir -p "$DIR/spool"
chmod 777 "$DIR/spool"
user() {
  system_user "$1" "$2"
  : > "$DIR/spool/$1"
  chown "$MAIL_UID:8" "$DIR/spool/$1"
  chmod 660 "$DIR/spool/$1"
}
each_user user
common="mode daemon;
foreground yes;
logging { syslog no; };
mailbox { mail-spool $DIR/spool; mailbox-type mbox; };
auth { authentication \"generic:system\"; authorization \"system\"; };"
printf '%s\npidfile /run/imap4d.pid;\nlogin-disabled no;\nserver 127.0.0.1:%s { tls-mode false; };\n' \
  "$common" "$IMAP" > "$DIR/imap4d.conf"
printf '%s\npidfile /run/pop3d.pid;\nserver 127.0.0.1:%s { tls-mode false; };\n' \
  "$common" "$POP3" > "$DIR/pop3d.conf"
imap4d --no-site-config --config-file="$DIR/imap4d.conf" &
pop3d --no-site-config --config-file="$DIR/pop3d.conf" &
wait
