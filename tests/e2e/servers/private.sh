# Sourced by the scripts beside it, in a mount and pid namespace of their own: lays an unpacked
# server's /usr and /etc over the machine's, for this namespace only. Nothing outside changes, and
# when this process ends everything it started ends.
#
# Arguments: DIR (the test's folder), UID (owner of mail), IMAP port, POP3 port, TREE... (unpacked
# servers). DIR/passwords has one line a user: name, a tab, the password.
set -eu
DIR=$1 MAIL_UID=$2 IMAP=$3 POP3=$4
shift 4
mount --make-rprivate /
mount -t tmpfs run /run
mkdir -p /run/etc.upper /run/etc.work
usr=/usr etc=/etc
for tree in "$@"; do
  usr=$tree/usr:$usr
  if [ -d "$tree/etc" ]; then etc=$tree/etc:$etc; fi
done
if [ "$usr" != /usr ]; then mount -t overlay overlay -o "lowerdir=$usr" /usr; fi
mount -t overlay overlay -o "lowerdir=$etc,upperdir=/run/etc.upper,workdir=/run/etc.work" /etc

# crypt PASSWORD: its hash as /etc/shadow has it.
crypt() { printf '%s' "$1" | openssl passwd -6 -stdin; }

# each_user COMMAND: runs COMMAND NAME PASSWORD for each user.
each_user() {
  while IFS="$(printf '\t')" read -r name password; do "$1" "$name" "$password"; done < "$DIR/passwords"
}

# system_user NAME PASSWORD: a user of the system, with a home under DIR.
system_user() {
  printf '%s:x:%s:8::%s/home/%s:/bin/sh\n' "$1" "$MAIL_UID" "$DIR" "$1" >> /etc/passwd
  printf '%s:%s:19000:0:99999:7:::\n' "$1" "$(crypt "$2")" >> /etc/shadow
  mkdir -p "$DIR/home/$1"
  chown "$MAIL_UID:8" "$DIR/home/$1"
}
