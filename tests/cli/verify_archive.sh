# An archive by itself, and against what was made of it.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
printf 'user=sue lr\n' >M/.Sent/dovecot-acl
mbxexport -u joe maildir:M >a.mbx 2>export.err

# The self-check ends in the exporter's two lines.
run 0 mbxverify a.mbx
check "same verdict" [ "$(verdict err)" = "$(verdict export.err)" ]
check "nothing on standard output" not test -s out
mbxverify - <a.mbx >out 2>err
code $? 0 "standard input"
check "same verdict" [ "$(verdict err)" = "$(verdict export.err)" ]
for j in 1 2 8; do run 0 mbxverify -q -j $j a.mbx; done
silent
run 0 mbxverify -u joe -m Sent a.mbx
run 66 mbxverify -u nobody a.mbx
run 66 mbxverify -m Nope a.mbx
run 66 mbxverify --ignore subscriptions a.mbx maildir:nope
says "no difference in what could be read"
run 65 mbxverify --max-messages 6 a.mbx
run 65 mbxverify --max-bytes 10 a.mbx
run 0 mbxverify --max-messages 7 a.mbx

# Damage.
size=$(stat -c %s a.mbx)
for cut in 0 1 300 $((size / 3)) $((size / 2)) $((size - 200)) $((size - 1)); do
	head -c "$cut" a.mbx >cut.mbx
	run 65 mbxverify cut.mbx
	run 65 mbxverify cut.mbx maildir:M
done
{ cat a.mbx && echo; } >long.mbx
run 65 mbxverify long.mbx

# Lists and tallies.
run 0 mbxverify --list a.mbx
cut -f1-3 out >list
printf 'joe\tINBOX\t3\njoe\tSent\t1\njoe\tTrash\t1\njoe\tWork/Deep\t2\njoe\t.\t7\n' >want
check "list" cmp list want
run 0 mbxverify --list -u joe -m Sent -m 'Work/*' a.mbx
check "chosen mailboxes" [ "$(cut -f1-3 out)" = "$(printf 'joe\tSent\t1\njoe\tWork/Deep\t2\njoe\t.\t3')" ]
run 66 mbxverify --list -u nobody a.mbx
check "no such user" not test -s out
run 66 mbxverify --list -m Nope a.mbx
run 0 mbxverify --list a.mbx
run 0 mbxverify --tally a.mbx
cp out tally
run 0 mbxverify --tally -u joe maildir:M
check "the archive's tally is the store's" cmp out tally
check "list and tally agree" [ "$(cut -f1,2,4 tally)" = "$(cat want)" ]

# Made into stores.
for store in maildir:d maildir:f:LAYOUT=fs courier:c; do
	dir=${store#*:}
	run 0 mbximport -q -i a.mbx "$store"
	run 0 mbxverify a.mbx "$store"
	run 0 mbxverify -u joe maildir:M "$store"
	mbxexport -q -u joe maildir:M | mbxverify - "$store" >out 2>err
	code $? 0 "export into verify $store"
	mbxexport -q "$store" >again.mbx
	run 0 mbxverify a.mbx again.mbx
	check "$store: nothing to say" not test -s out
	rm "$(find "${dir%%:*}" -name '1700000007.M7P1.host*')"
	run 1 mbxverify a.mbx "$store"
	check "named" [ "$(head -n 1 out)" = 'joe: INBOX: uid 7: missing in B' ]
	check "one" [ "$(wc -l <out)" = 2 ]
done
run 0 mbximport -q --under Old --map-mailbox Sent=Gesendet -i a.mbx maildir:u
run 0 mbxverify --under Old --map-mailbox Sent=Gesendet a.mbx maildir:u
says '4 mailboxes, 7 messages'
run 1 mbxverify a.mbx maildir:u
run 0 mbximport -q --map-user joe=ann -i a.mbx 'maildir:t/%u'
run 0 mbxverify --map-user joe=ann a.mbx 'maildir:t/%u'
run 1 mbxverify a.mbx 'maildir:t/%u'
check "no such user" [ "$(head -n 1 out)" = 'joe: missing in B (7 messages)' ]
run 0 mbxverify 'maildir:t/ann' a.mbx
mv t/ann t/joe
run 0 mbxverify a.mbx 'maildir:t/%u'
run 0 mbxverify 'maildir:t/%u' a.mbx
