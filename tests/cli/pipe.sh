# The pipe: both sides say the same, and what comes out is what went in.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M

mbxexport -u joe maildir:M 2>e.err | mbximport 'maildir:D/%u' 2>i.err
codes=("${PIPESTATUS[@]}")
cp i.err err
code "${codes[0]}" 0 export
code "${codes[1]}" 0 import
verdict e.err >e.verdict
verdict i.err >i.verdict
check "two verdict lines" [ "$(wc -l <e.verdict)" = 2 ]
check "the same on both sides" cmp e.verdict i.verdict
check "counts" grep -q '^1 user, 4 mailboxes, 7 messages, [0-9]* bytes, 0 unreadable$' e.verdict
check "bodies" [ "$(bodies M)" = "$(bodies D/joe)" ]
check "mailboxes" [ "$(mailboxes -u joe maildir:M)" = "$(mailboxes -u joe maildir:D/joe)" ]
check "nothing else" [ "$(ls -A D)" = joe ]

# Import again: refused, and unharmed.
mbxexport -q -u joe maildir:M >a.mbx
before=$(find D -type f -printf '%p %s %T@\n' | sort)
run 73 mbximport -i a.mbx 'maildir:D/%u'
check "unharmed" [ "$before" = "$(find D -type f -printf '%p %s %T@\n' | sort)" ]

# The same bytes for any number of threads.
for j in 1 2 5; do
	MBX_TEST_ID=00112233445566778899aabbccddeeff SOURCE_DATE_EPOCH=1700000000 \
		mbxexport -q -j $j -u joe maildir:M >j$j.mbx
done
check "-j 1 and 2" cmp j1.mbx j2.mbx
check "-j 1 and 5" cmp j1.mbx j5.mbx
for z in 0 1 19; do
	run 0 mbxexport -z $z -u joe -o z$z.mbx maildir:M
	run 0 mbximport -n -i z$z.mbx maildir:N
done
check "zstd and tar read it" bash -c 'zstd -dcq a.mbx | tar -tf - | grep -q "^joe/INBOX/.*eml$"'

# A slow pipe, both limits.
mbxexport -q --bwlimit 100k -u joe maildir:M | run 0 mbximport --bwlimit 100k maildir:slow
check "bodies" [ "$(bodies M)" = "$(bodies slow)" ]

# Quiet is quiet.
run 0 mbximport -q --owner "$(id -un)" -i a.mbx maildir:quiet
silent
