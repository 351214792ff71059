#!/bin/bash
# popa3d: POP3 as RFC 1939 has it and nothing more, no CAPA, no AUTH. It is made for inetd, whose
# part Courier's couriertcpd plays. DIR/mbox is every user's mailbox.
. "$(dirname "$0")/private.sh"
mount -t tmpfs mail /var/mail
mount -t tmpfs lib /var/lib
chmod 755 /var/lib
mkdir /var/lib/popa3d
echo 'popa3d:x:992:992::/var/lib/popa3d:/bin/false' >> /etc/passwd
echo 'popa3d:x:992:' >> /etc/group
chmod 777 /var/mail
user() {
  system_user "$1" "$2"
  cp "$DIR/mbox" "/var/mail/$1"
  chown "$MAIL_UID:8" "/var/mail/$1"
  chmod 660 "/var/mail/$1"
}
each_user user
couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup "$POP3" /usr/sbin/popa3d &
wait
