# Options, refusals and their exit codes; help and version; terminals and closed descriptors.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M

for p in mbxexport mbximport mbxverify; do
	run 0 $p --version
	check "$p version" grep -q "^$p [0-9.]* (archive format MBX1)$" out
	silent
	run 0 $p --version -v
	check "$p limits" grep -q 'levels of a mailbox name  *64$' out
	run 0 $p --help
	same $p.help out
	run 73 bash -c "$p --help >/dev/full"
	run 64 $p --nope maildir:M
	says "option --nope"
	run 64 $p -u
	says "needs a value"
done
for p in mbxexport mbximport; do
	run 64 $p
	says "one STORE is needed, 0 were given"
	run 64 $p a b
	run 64 $p M
	says "a STORE is DRIVER:LOCATION"
	run 64 $p maildir:
	run 64 $p 'maildir:M/%x'
	says "unknown variable"
	run 64 $p 'maildir:M/%{user}'
	for later in --passphrase-file=x --sign=x --trusted-signer=x --identity=x --encrypt-to=x --require-sandbox; do
		run 69 $p $later maildir:M
		says "${later%%=*} is not in version"
	done
done
for later in '--since x' '--state x' --print-token '--resume x' --shared; do
	# shellcheck disable=SC2086
	run 69 mbxexport $later maildir:M
done
for later in '--state x' --print-token '--resume x'; do
	# shellcheck disable=SC2086
	run 69 mbximport $later maildir:M
done

# STORE, export.
run 64 mbxexport nosuch:M
says "there are: maildir courier"
run 64 mbxexport maildir:M:NOPE=1
says "driver maildir has no key NOPE"
run 64 mbxexport maildir:M:UTF-8=1
run 64 mbxexport 'maildir:%u'
says "say which users"
run 64 mbxexport -u a -u b maildir:M
run 64 mbxexport -A maildir:M
run 66 mbxexport -u joe maildir:none
run 66 mbxexport -F none maildir:M
run 64 mbxexport -z 20 maildir:M
run 64 mbxexport -j 0 maildir:M
run 64 mbxexport --bwlimit 5x maildir:M

# STORE, import.
mbxexport -q -u joe -o joe.mbx maildir:M
run 64 mbximport -i joe.mbx nosuch:D
run 64 mbximport -i joe.mbx maildir:D:NOPE=1
run 64 mbximport -i joe.mbx --on-exist maybe maildir:D
run 64 mbximport -i joe.mbx --map-user joe maildir:D
run 64 mbximport -F - maildir:D </dev/null
says "cannot both be standard input"
run 64 mbximport -F - -i - maildir:D </dev/null
says "cannot both be standard input"
mbxexport -q -u joe -o - maildir:M | mbximport -q -i - maildir:dash
code "${PIPESTATUS[*]}" "0 0" "-o - | -i -"
check "through standard output and input" [ "$(bodies dash)" = "$(bodies M)" ]
check "no file of that name" absent -
run 66 mbximport -i none.mbx maildir:D
says "no such file: none.mbx"
run 66 mbximport -i joe.mbx --user-map none maildir:D
run 65 mbximport maildir:D </dev/null
run 65 mbximport -i M/dovecot-uidlist maildir:D
check "nothing was made" absent D

# Terminals: an archive is neither written to one nor read from one.
cat >terminal.py <<'P'
import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))
P
run 64 python3 terminal.py mbxexport -u joe maildir:M
check "refused" grep -q "not written to a terminal" out
run 64 python3 terminal.py mbximport maildir:D
check "refused" grep -q "which is a terminal" out

# Closed descriptors are errors and never another file.
run 74 bash -c 'exec mbxexport -u joe maildir:M >&-'
run 74 bash -c 'exec mbximport maildir:D <&-'
run 0 bash -c 'exec mbxexport -u joe maildir:M 2>&- >closed.mbx'
run 0 mbximport -n -i closed.mbx maildir:D
check "nothing was made" absent D
