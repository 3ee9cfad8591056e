# Who owns what is written. As root the importer becomes the owner before it reads a byte.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
mbxexport -q -u joe -o a.mbx maildir:M
# Where groups cannot be changed, as in a user namespace, root that stays root need not change them.
in_namespace() {
	if unshare -r true 2>/dev/null; then
		run 0 unshare -r mbximport -i a.mbx maildir:N
		check "all is there" [ "$(bodies M)" = "$(bodies N)" ]
	else
		echo "skipped: no user namespaces"
	fi
}
in_namespace
owners() { find "$1" -printf '%u\n' | sort -u | tr '\n' ' '; }

if [ "$(id -u)" != 0 ]; then
	run 77 mbximport --owner root -i a.mbx maildir:D
	run 0 mbximport -i a.mbx maildir:D
	check "the caller" [ "$(owners D)" = "$(id -un) " ]
	exit 0
fi
chmod 755 .
chmod 600 a.mbx
mkdir theirs mine && chown nobody theirs
run 0 mbximport --owner nobody --report r.json -i a.mbx 'maildir:theirs/%u'
check "--owner" [ "$(owners theirs)" = "nobody " ]
check "the report" python3 -c 'import json; assert json.load(open("r.json"))["exit"] == 0'
silent_root() { not grep -q 'belongs to root' err; }
check "no warning" silent_root
rm -rf theirs/joe
run 0 mbximport -i a.mbx 'maildir:theirs/%u'
check "the directory's owner" [ "$(owners theirs)" = "nobody " ]
check "not root's group" [ "$(find theirs/joe -printf '%g\n' | sort -u)" = "$(id -gn nobody)" ]
run 0 mbximport -i a.mbx 'maildir:mine/%u'
says "belongs to root"
run 77 mbximport --owner nobody -i a.mbx 'maildir:mine/x/%u'
check "nothing made" [ "$(ls -A mine)" = joe ]
run 66 mbximport --owner no-such-user-here -i a.mbx 'maildir:mine/x/%u'
run 64 mbximport --owner '' -i a.mbx 'maildir:mine/x/%u'
if unshare -r true 2>/dev/null; then
	rm -rf mine/joe
	run 0 unshare -r mbximport -i a.mbx 'maildir:mine/%u'
	check "root of a namespace" [ "$(bodies mine/joe)" = "$(bodies M)" ]
fi

# Not one byte is read as root.
mkfifo p
mbximport --owner nobody 'maildir:theirs/y/%u' <p >out 2>err &
importer=$!
exec 8>p
uids() { awk '/^Uid:/ { print $2 $3 $4 $5 }' "/proc/$importer/status"; }
became() { [ "$(uids)" = "$(printf "%s$(id -u "$1")" '' '' '' '')" ]; }
wait_for became nobody
pass "privileges are gone before the first byte"
check "and cannot come back" grep -q '^NoNewPrivs:.*1' "/proc/$importer/status"
cat a.mbx >&8
exec 8>&-
wait $importer
code $? 0 "and then it works"
