#!/bin/bash
# Courier IMAP and POP3 with userdb: LOGIN only, no SASL, no LITERAL+, its own unique ids.
. "$(dirname "$0")/private.sh"
echo 'courier:x:990:990::/nonexistent:/bin/false' >> /etc/passwd
echo 'courier:x:990:' >> /etc/group
mkdir -p /run/courier/authdaemon

user() {
  local home=$DIR/home/$1
  mkdir -p "$home"/Maildir/{cur,new,tmp}
  chown -R "$MAIL_UID:$MAIL_UID" "$home"
  printf '%s\tuid=%s|gid=%s|home=%s|mail=%s/Maildir|systempw=%s\n' \
    "$1" "$MAIL_UID" "$MAIL_UID" "$home" "$home" "$(crypt "$2")" >> /etc/courier/userdb
}
each_user user
chmod 600 /etc/courier/userdb
makeuserdb

cat > /etc/courier/authdaemonrc <<X
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=2
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
X
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &

daemon() { couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup "$@" & }
. /etc/courier/imapd
daemon "$IMAP" /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir
. /etc/courier/pop3d
daemon "$POP3" /usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir
wait
