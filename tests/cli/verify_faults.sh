# Each fault planted in a copy of a Maildir is found, named, and is one difference.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
printf 'user=sue lr\nowner lrwstipekxa\n' >M/.Sent/dovecot-acl
mkdir home
mv M home/Maildir
printf 'keep;\n' >home/.dovecot.sieve

# fresh: B is as A
fresh() {
	rm -rf b
	cp -a home b
}
# planted LINE [OPTION...]: exactly this difference is found, and the exit code is 1
planted() {
	local want=$1
	shift
	mbxverify -u joe "$@" maildir:home/Maildir maildir:b/Maildir >out 2>err
	code $? 1 "$want"
	check "named" grep -qE -- "^$want\$" out
	check "one difference" grep -q '^1 difference: ' out
	check "one line" [ "$(wc -l <out)" = 2 ]
}
# edit FILE SED-SCRIPT
edit() { sed -i "$2" "$1"; }

fresh
run 0 mbxverify -u joe maildir:home/Maildir maildir:b/Maildir
check "no difference, no output" not test -s out
says 'no difference'
run 0 mbxverify -u joe --level-of-proof state maildir:home/Maildir maildir:b/Maildir
run 0 mbxverify -u joe --level-of-proof count maildir:home/Maildir maildir:b/Maildir

in=b/Maildir/cur
fresh
rm $in/1700000002.M2P1.host:2,Fa
edit b/Maildir/dovecot-uidlist '/^2 /d'
planted 'joe: INBOX: uid 2: missing in B'
planted 'joe: INBOX: uid 2: missing in B' --level-of-proof state
planted 'joe: INBOX: count: 3 != 2' --level-of-proof count

fresh
deliver b/Maildir 8 1700000008.M8P1.host ''
planted 'joe: INBOX: uid 8: extra in B'

fresh
edit $in/1700000007.M7P1.host:2, 's/^Hello 1/Hello 2/'
touch -d @1700000007 $in/1700000007.M7P1.host:2,
planted 'joe: INBOX: uid 7: body: .* bytes, sha256 [0-9a-f]* != .* bytes, sha256 [0-9a-f]*'
run 0 mbxverify -u joe --level-of-proof state maildir:home/Maildir maildir:b/Maildir

fresh
mv $in/1700000001.M1P1.host:2,S $in/1700000001.M1P1.host:2,RS
planted 'joe: INBOX: uid 1: flags: S != SA'

fresh
mv $in/1700000002.M2P1.host:2,Fa $in/1700000002.M2P1.host:2,F
planted 'joe: INBOX: uid 2: keywords: important != -'
run 0 mbxverify -u joe --ignore keywords maildir:home/Maildir maildir:b/Maildir

fresh
touch -d @1700000099 $in/1700000001.M1P1.host:2,S
planted 'joe: INBOX: uid 1: internaldate: 2023-11-14T22:13:21Z != 2023-11-14T22:14:59Z'

fresh
edit b/Maildir/dovecot-uidlist 's/^7 /8 /'
planted 'joe: INBOX: uid 7: uid: 7 != 8'
planted 'joe: INBOX: uid 7: uid: 7 != 8' --level-of-proof state

fresh
edit b/Maildir/.Sent/dovecot-uidlist '1s/V2222/V2223/'
planted 'joe: Sent: uidvalidity: 2222 != 2223'

fresh
edit b/Maildir/dovecot-uidlist '1s/N10/N11/'
planted 'joe: INBOX: uidnext: 10 != 11'
edit b/Maildir/dovecot-uidlist '1s/N11/N8/'
planted 'joe: INBOX: uidnext: 10 != 8'

fresh
edit b/Maildir/subscriptions '/^Sent/d'
planted 'joe: subscription Sent: missing in B'

fresh
echo Trash >>b/Maildir/subscriptions
planted 'joe: subscription Trash: extra in B'

fresh
rm -r b/Maildir/.Trash
planted 'joe: Trash: missing in B \(1 messages\)'
planted 'joe: Trash: missing in B \(1 messages\)' --level-of-proof count
run 0 mbxverify -u joe -x Trash maildir:home/Maildir maildir:b/Maildir

fresh
folder b/Maildir/.New 7777 1 e
planted 'joe: New: extra in B \(0 messages\)'
run 0 mbxverify -u joe -m INBOX -m Sent maildir:home/Maildir maildir:b/Maildir

fresh
edit b/Maildir/.Sent/dovecot-acl 's/lr$/lrs/'
planted 'joe: Sent: acl user=sue: lr != lrs'

fresh
edit b/Maildir/dovecot-uidlist '/^1 /s/:.*/:1700000002.M2P1.host/;/^2 /s/:.*/:1700000001.M1P1.host/'
planted 'joe: INBOX: uid 1: message-order: 1,2 != 2,1'

fresh
edit b/Maildir/dovecot-uidlist 's/^7 :/7 Pnew :/'
planted 'joe: INBOX: uid 7: uidl: - != new'

fresh
printf 'discard;\n' >b/.dovecot.sieve
planted 'joe: sieve .*: .* != .*'

# Several faults, counted by kind; JSON; the report.
fresh
mv $in/1700000001.M1P1.host:2,S $in/1700000001.M1P1.host:2,
mv $in/1700000002.M2P1.host:2,Fa $in/1700000002.M2P1.host:2,a
rm -r b/Maildir/.Trash
run 1 mbxverify -u joe --report r.json maildir:home/Maildir maildir:b/Maildir
check "summary" grep -qx '3 differences: 2 flags, 1 mailbox' out
check "report" grep -q '"kind":"flags"' r.json
check "summary in the report" grep -qF '"compared":{"level":"content","users":1,"mailboxes":3,"messages":6,"differences":3,"kinds":{"flags":2,"mailbox":1}}' r.json
run 1 mbxverify -u joe --report r.html maildir:home/Maildir maildir:b/Maildir
check "summary on the page" grep -qF '<tr><td>flags</td><td class=n>2</td></tr>' r.html
run 1 mbxverify -u joe --json maildir:home/Maildir maildir:b/Maildir
check "JSON" [ "$(grep -c '"type":"difference"' out)" = 3 ]
check "JSON summary" grep -q '"type":"summary".*"differences":3' out
check "only JSON" [ "$(grep -vc '^{.*}$' out)" = 0 ]
