# shellcheck shell=bash
# What the scripts of this folder share. Each runs in an empty directory of its own.
#
#   run CODE COMMAND...   runs it; stdout to ./out, stderr to ./err; the exit code must be CODE
#   code CODE WHAT        $? was CODE
#   says TEXT             the last run said TEXT on standard error
#   silent                it said nothing
#   check WHAT COMMAND... COMMAND succeeds
#   same NAME FILE        FILE equals the expected output tests/cli/NAME.out
#   wait_for COMMAND...   until COMMAND succeeds, at most 20 s
set -u
HERE=$MBX_TOP/tests/cli
failures=0
trap 'exit $((failures != 0))' EXIT

pass() { printf 'ok %s\n' "$*"; }
fail() {
	failures=$((failures + 1))
	printf 'FAILED %s (line %s)\n' "$*" "${BASH_LINENO[*]}"
}

code() {
	local got=$1 want=$2
	shift 2
	if [ "$got" = "$want" ]; then
		pass "$want $*"
	else
		fail "exit code $got, expected $want: $*"
		[ -s err ] && head -n 20 err
	fi
}

run() {
	local want=$1
	shift
	"$@" >out 2>err
	code $? "$want" "$*"
}

says() {
	if grep -qF -- "$1" err; then
		pass "says $1"
	else
		fail "does not say: $1"
		head -n 20 err
	fi
}

silent() {
	if [ -s err ]; then
		fail "is not silent"
		head -n 20 err
	else
		pass silent
	fi
}

check() {
	local what=$1
	shift
	if "$@"; then pass "$what"; else fail "$what: $(printf '%.300s' "$*")"; fi
}

same() {
	if [ -n "${MBX_CLI_UPDATE-}" ]; then
		cp "$2" "$HERE/$1.out"
	fi
	if diff -u "$HERE/$1.out" "$2"; then pass "same $1"; else fail "$2 differs from $1.out"; fi
}

wait_for() {
	local end=$((SECONDS + 20))
	until "$@"; do
		[ $SECONDS -lt $end ] || {
			fail "waited in vain for $*"
			return 1
		}
		sleep 0.02
	done
}

not() { ! "$@"; }
absent() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
# Nothing at all is below a directory, hidden files included.
empty() { [ -z "$(ls -A "$1" 2>/dev/null)" ]; }

# message TEXT: a small message
message() { printf 'From: a@example.org\nSubject: %s\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nHello %s\n' "$1" "$1"; }

# deliver FOLDER UID NAME FLAGS: a message, its line in dovecot-uidlist, its date
deliver() {
	local file=$1/cur/$3:2,$4
	message "$3" >"$file"
	touch -d "@$((1700000000 + $2))" "$file"
	echo "$2 :$3" >>"$1/dovecot-uidlist"
}

# folder DIRECTORY UIDVALIDITY UIDNEXT GUID-DIGIT
folder() {
	mkdir -p "$1/cur" "$1/new" "$1/tmp"
	printf '3 V%s N%s G%s\n' "$2" "$3" "$(printf "$4%.0s" {1..32})" >"$1/dovecot-uidlist"
}

# maildir DIRECTORY: INBOX 3, Sent 1, Trash 1, Work/Deep 2 messages; a keyword; subscriptions
maildir() {
	local root=$1
	folder "$root" 1111 10 a
	deliver "$root" 1 1700000001.M1P1.host S
	deliver "$root" 2 1700000002.M2P1.host Fa
	deliver "$root" 7 1700000007.M7P1.host ''
	echo '0 Important' >"$root/dovecot-keywords"
	printf 'V\t2\n\nSent\nWork\tDeep\n' >"$root/subscriptions"
	folder "$root/.Sent" 2222 2 b
	deliver "$root/.Sent" 1 1700000001.M1P2.host S
	folder "$root/.Trash" 3333 5 c
	deliver "$root/.Trash" 4 1700000004.M4P3.host ST
	folder "$root/.Work.Deep" 4444 3 d
	deliver "$root/.Work.Deep" 1 1700000001.M1P4.host ''
	deliver "$root/.Work.Deep" 2 1700000002.M2P4.host R
	for f in "$root" "$root"/.[A-Z]*; do touch "$f/maildirfolder"; done
	rm "$root/maildirfolder"
}

# big DIRECTORY N: a Maildir with N messages of about 100 kB that cannot be compressed
big() {
	local i
	folder "$1" 5555 $(($2 + 1)) e
	for ((i = 1; i <= $2; i++)); do
		{
			message "big $i"
			head -c 75000 /dev/urandom | base64
		} >"$1/cur/1700000000.M${i}P9.host:2,S"
		echo "$i :1700000000.M${i}P9.host" >>"$1/dovecot-uidlist"
	done
}

# mailboxes STORE...: what a store holds, "user: mailbox: n messages" without sizes, by a dry run
mailboxes() {
	mbxexport -n -v "$@" 2>&1 | sed -n 's/^mbxexport: \(.*: [0-9]* messages\), .*/\1/p'
}

# bodies DIRECTORY: digests of all messages in it, sorted
bodies() {
	find "$1" -path '*/cur/*' -type f -o -path '*/new/*' -type f | sort | xargs -r sha256sum | cut -d' ' -f1 | sort
}

# verdict FILE: the two verdict lines without the program's name
verdict() { sed 's/^[^:]*: //' "$1" | grep -E '^[0-9]+ users?, |^archive ' | tail -n 2; }
