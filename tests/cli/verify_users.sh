# Which users are compared with which, mailboxes under new names, tallies.
. "$MBX_TOP/tests/cli/lib.sh"
mkdir a b
for u in ann joe sue; do maildir a/$u; done
cp -a a/. b

run 64 mbxverify 'maildir:a/%u' 'maildir:b/%u'
run 0 mbxverify -A 'maildir:a/%u' 'maildir:b/%u'
says 'compared: 3 users, 12 mailboxes, 21 messages'
run 0 mbxverify -u ann -u sue 'maildir:a/%u' 'maildir:b/%u'
says 'compared: 2 users'
run 0 mbxverify -u 's*' 'maildir:a/%u' 'maildir:b/%u'
says 'compared: 1 user,'
run 0 mbxverify -u joe maildir:a/joe 'maildir:b/%u'
run 0 mbxverify -u joe 'maildir:a/%u' maildir:b/joe
run 64 mbxverify -u ann -u joe 'maildir:a/%u' maildir:b/joe
run 64 mbxverify -u ann -u joe maildir:a/joe 'maildir:b/%u'
says 'holds one user'
run 0 mbxverify maildir:a/ann maildir:b/sue
says 'compared: 1 user,'

# A user that is not there, on each side; a user of B alone counts with -A only.
mv b/joe b/tom
run 1 mbxverify -A 'maildir:a/%u' 'maildir:b/%u'
check "missing user" grep -qx 'joe: missing in B (7 messages)' out
check "extra user" grep -qx 'tom: extra in B' out
check "summary" grep -qx '2 differences: 2 user' out
run 1 mbxverify -u ann -u joe 'maildir:a/%u' 'maildir:b/%u'
check "only the missing one" [ "$(grep -c . out)" = 2 ]
run 0 mbxverify -u joe --map-user joe=tom 'maildir:a/%u' 'maildir:b/%u'
run 0 mbxverify -A --map-user joe=tom 'maildir:a/%u' 'maildir:b/%u'
says 'compared: 3 users'
run 66 mbxverify -u nobody 'maildir:a/%u' 'maildir:b/%u'
mbxexport -q -A 'maildir:b/%u' >b.mbx
run 66 mbxverify -u nobody 'maildir:a/%u' b.mbx
check "who cannot be read is not called missing" not test -s out
run 66 mbxverify -u ann -x '*' 'maildir:a/%u' b.mbx
says 'nothing was compared'
run 64 mbxverify b.mbx b
says 'b is a directory'
mv b/tom b/joe

# One user that cannot be read does not hide the others.
echo nonsense >b/joe/dovecot-uidlist
mbxverify -A 'maildir:a/%u' 'maildir:b/%u' >out 2>err
check "the others" [ "$(grep -c '^ann\|^sue' out)" = 0 ]
rm -r b/joe
cp -a a/joe b/joe

# New names. A's Work is B's Projects/Old; Sent is below it in the order of names.
rm -rf c
mkdir c
cp -a a/joe c/joe
mv c/joe/.Work.Deep c/joe/.Alpha.Deep
sed -i 's/^Work\tDeep/Alpha\tDeep/' c/joe/subscriptions
run 0 mbxverify -u joe --map-mailbox Work=Alpha maildir:a/joe maildir:c/joe
run 1 mbxverify -u joe maildir:a/joe maildir:c/joe
check "without the map" grep -qx '4 differences: 2 subscription, 2 mailbox' out
run 0 mbxverify -u joe -m 'Work/*' --map-mailbox Work=Alpha --ignore subscriptions maildir:a/joe maildir:c/joe
says '1 mailbox, 2 messages'
mv c/joe/cur/1700000007.M7P1.host:2, c/joe/cur/1700000007.M7P1.host:2,S
run 1 mbxverify -u joe --map-mailbox Work=Alpha maildir:a/joe maildir:c/joe
check "a fault in a map" [ "$(head -n 1 out)" = 'joe: INBOX: uid 7: flags: - != S' ]

# What maildir++ cannot hold: the dot in a name. LAYOUT=fs is the side that can.
folder f 1111 1 a
folder f/a.b 2222 3 b
deliver f/a.b 1 1700000001.M1P2.host S
folder g 1111 1 a
mapped=$(printf 'a.b' | sha256sum | cut -c1-8)
folder "g/.a_b~$mapped" 2222 3 b
deliver "g/.a_b~$mapped" 1 1700000001.M1P2.host S
run 0 mbxverify maildir:f:LAYOUT=fs maildir:g
says '2 mailboxes, 1 message'

# Tallies.
run 0 mbxverify --tally -A 'maildir:a/%u'
mv out tally.a
run 0 mbxverify --tally -A 'maildir:b/%u'
check "equal stores, equal tallies" cmp -s out tally.a
check "a line a mailbox and account" [ "$(wc -l <tally.a)" = 15 ]
check "nine fields" [ "$(awk -F'\t' 'NF != 9' tally.a)" = '' ]
check "INBOX" grep -qP '^joe\tINBOX\t1111\t3\t\d+\t[0-9a-f]{64}\t[0-9a-f]{64}\t[0-9a-f]{64}\t[0-9a-f]{64}$' tally.a
mv b/sue/.Trash/cur/1700000004.M4P3.host:2,ST b/sue/.Trash/cur/1700000004.M4P3.host:2,S
run 0 mbxverify --tally -A 'maildir:b/%u'
check "a flag is one line" [ "$(diff tally.a out | grep -c '^<')" = 1 ]
check "in the state root" [ "$(diff <(cut -f1-6,8- tally.a) <(cut -f1-6,8- out))" = '' ]
for j in 1 2 8; do
	mbxverify -j $j --tally -A 'maildir:b/%u' 2>/dev/null | cmp -s - out || fail "-j $j"
done
run 0 mbxverify --tally --level-of-proof state -u joe maildir:a/joe
check "no bodies, no content" grep -qP '^joe\tINBOX\t1111\t3\t-\t-\t[0-9a-f]{64}\t' out
run 0 mbxverify --tally --json -u joe maildir:a/joe
check "JSON" [ "$(grep -c '"type":"mailbox"' out)" = 4 ]
for ((i = 0; i < 60; i++)); do mkdir -p e/.f$i/{cur,new,tmp}; done
mkdir -p e/{cur,new,tmp}
mbxverify --json -v -v --tally -u joe maildir:e >>both 2>>both
check "whole lines in one file" python3 -c 'import json; assert len([json.loads(l) for l in open("both")]) > 120'
run 66 mbxverify --tally maildir:nowhere

# Usage.
run 64 mbxverify
run 64 mbxverify maildir:a/joe
run 64 mbxverify maildir:a/joe maildir:b/joe maildir:c
run 64 mbxverify --list maildir:a/joe
run 64 mbxverify --tally --list x
run 64 mbxverify - -
run 64 mbxverify --ignore colour maildir:a/joe maildir:b/joe
run 64 mbxverify --map-user joe maildir:a/joe maildir:b/joe
run 66 mbxverify nowhere.mbx
run 66 mbxverify nodriver:x
run 69 mbxverify --trusted-signer key nowhere.mbx
echo 'no archive' >bad.mbx
run 65 mbxverify bad.mbx
run 65 mbxverify bad.mbx maildir:a/joe
run 65 mbxverify --list bad.mbx
run 65 mbxverify --tally bad.mbx
mbxverify --tally -u joe maildir:a/joe >/dev/full 2>err
code $? 73 "a full device"
