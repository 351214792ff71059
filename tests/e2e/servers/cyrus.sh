#!/bin/bash
# Cyrus IMAP and POP3 with sasldb, as user cyrus.
. "$(dirname "$0")/private.sh"
grep -q ^cyrus: /etc/passwd || echo 'cyrus:x:991:8::/nonexistent:/bin/sh' >> /etc/passwd
C=$DIR/cyrus
mkdir -p /run/cyrus "$C"/spool "$C"/conf/{db,socket,log,msg,proc,ptclient,lock,user,quota,sieve}
cat > "$C/imapd.conf" <<X
configdirectory: $C/conf
partition-default: $C/spool
defaultpartition: default
admins: admin
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $C/sasldb2
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
autocreate_quota: 0
autocreate_post: 1
unixhierarchysep: yes
altnamespace: yes
servername: localhost
lmtpsocket: $C/conf/socket/lmtp
idlesocket: $C/conf/socket/idle
notifysocket: $C/conf/socket/notify
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
X
cat > "$C/cyrus.conf" <<X
START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C $C/imapd.conf -r"
}
SERVICES {
  imap cmd="imapd -C $C/imapd.conf -U 30" listen="127.0.0.1:$IMAP" prefork=0 maxchild=100
  pop3 cmd="pop3d -C $C/imapd.conf -U 30" listen="127.0.0.1:$POP3" prefork=0 maxchild=100
}
EVENTS {
}
X
user() { printf '%s' "$2" | saslpasswd2 -p -f "$C/sasldb2" -u localhost -c "$1"; }
each_user user
chown -R cyrus "$C" /run/cyrus
/usr/lib/cyrus/bin/master -D -C "$C/imapd.conf" -M "$C/cyrus.conf" -p /run/cyrus/pid &
wait
