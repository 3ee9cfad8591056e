# Dovecot's sdbox and mdbox, written and read: what one of them holds comes back from any other.
. "$MBX_TOP/tests/cli/lib.sh"

# digest FILE: what the archive says of its content and state
digest() { mbxverify --tally "$1" 2>/dev/null | sort; }

empty_file() { [ ! -s "$1" ]; }

# A message in two folders, one with CRLF line ends, one that is large; a POP3 UIDL.
maildir M
message crlf | sed 's/$/\r/' >M/cur/1700000009.M9P1.host:2,S
echo '9 P0123456789 O3 G0123456789abcdef :1700000009.M9P1.host' >>M/dovecot-uidlist
{ message large && head -c 9000000 /dev/zero | tr '\0' '\n'; } >M/.Trash/cur/1700000003.M3P3.host:2,
sed -i '1a 3 :1700000003.M3P3.host' M/.Trash/dovecot-uidlist
ln M/cur/1700000001.M1P1.host:2,S M/.Work.Deep/cur/1700000001.M1P1.host:2,
echo '3 :1700000001.M1P1.host' >>M/.Work.Deep/dovecot-uidlist
sed -i '1s/N3 /N4 /' M/.Work.Deep/dovecot-uidlist
run 0 mbxexport -u joe -o m.mbx maildir:M

# There and back, and a message for a message: nothing is lost but what sdbox has no place for.
from=m.mbx
for step in sdbox:S1 mdbox:D1 mdbox:D2 sdbox:S2 maildir:M2; do
	run 0 mbximport -i "$from" $step
	grep 'loss:' err | grep -v -e 'loss: savedate' >lost
	check "nothing lost into $step" empty_file lost
	run 0 mbxverify "$from" $step
	from=${step#*:}.mbx
	run 0 mbxexport -u joe -o "$from" $step
	run 0 mbxverify "$from"
done
check "content" diff <(digest m.mbx | cut -f 1-6) <(digest M2.mbx | cut -f 1-6)
check "mdbox to mdbox" diff <(digest D1.mbx) <(digest D2.mbx)
check "linked in sdbox" [ "$(stat -c %h S1/mailboxes/INBOX/dbox-Mails/u.1)" = 2 ]
check "linked in Maildir again" [ "$(find M2 -name '1700000001.M1P1*' -printf '%n\n' | sort -u)" = 2 ]
check "once in mdbox" [ "$(grep -ac 'Subject: 1700000001.M1P1' D1/storage/m.1)" = 1 ]
check "LF" not grep -q $'\r' S1/mailboxes/INBOX/dbox-Mails/u.9

# Storage files of a size.
run 0 mbximport -i m.mbx --rotate-size 600 mdbox:R
check "many files" [ "$(find R/storage -name 'm.*' | wc -l)" -gt 3 ]
check "one is too large" [ "$(find R/storage -name 'm.*' -size +600c | wc -l)" = 1 ]
run 0 mbxverify m.mbx mdbox:R
run 64 mbximport -i m.mbx --rotate-size 1k sdbox:R2
says '--rotate-size: sdbox has no storage files'
run 64 mbximport -i m.mbx --rotate-size 0 mdbox:R2
check "nothing written" absent R2

# What exists.
run 73 mbximport -i m.mbx sdbox:S1
says 'holds'
run 73 mbximport -i m.mbx mdbox:D1
run 73 mbximport -i m.mbx --on-exist merge mdbox:D1
says 'nothing can be merged into the storage of an mdbox'
run 0 mbximport -i m.mbx --on-exist replace mdbox:D1
says '.mbx-old.'
run 0 mbximport -i m.mbx -m INBOX sdbox:P
run 0 mbximport -i m.mbx -x INBOX --on-exist merge sdbox:P
run 0 mbxverify m.mbx sdbox:P
run 73 mbximport -i m.mbx -m Sent --on-exist merge sdbox:P
run 0 mbximport -i m.mbx --under Old --on-exist merge sdbox:P

# Places.
run 0 mbximport -i m.mbx "mdbox:K:INDEX=$PWD/Ki:CONTROL=$PWD/Kc:ALT=$PWD/Ka"
check "index" [ -e Ki/mailboxes/INBOX/dovecot.index ]
check "map" [ -e Ki/storage/dovecot.map.index ]
check "subscriptions" [ -e Kc/subscriptions ]
check "nothing in ALT" absent Ka
run 0 mbxverify m.mbx "mdbox:K:INDEX=$PWD/Ki:CONTROL=$PWD/Kc"
run 64 mbximport -i m.mbx sdbox:L:LAYOUT=maildir++
check "nothing written" absent L

# Named by a list.
for driver in sdbox mdbox maildir; do
	run 0 mbximport -i m.mbx $driver:X$driver:LAYOUT=index
	check "list" [ -e X$driver/dovecot.list.index ]
	run 0 mbxverify m.mbx $driver:X$driver:LAYOUT=index
	run 73 mbximport -i m.mbx --under Old --on-exist merge $driver:X$driver:LAYOUT=index
	says 'nothing can be merged into LAYOUT=index'
done

run 64 mbximport -i m.mbx "sdbox:L:LAYOUT=index:LISTINDEX=$PWD/elsewhere/list"
says 'neither in the mail root nor in INDEX='
run 64 mbximport -i m.mbx "sdbox:L:LAYOUT=index:INBOX=$PWD/inbox"
says 'has no meaning with LAYOUT=index'
check "nothing written" absent L

# A dry run says what would be lost, and writes nothing.
message odd | sed 's/$/\r\r/' >M/cur/1700000010.M10P1.host:2,
run 0 mbxexport -u joe -o odd.mbx maildir:M
run 0 mbximport -n -i odd.mbx mdbox:N
says 'a CR too many or too few'
check "nothing written" absent N
run 73 mbximport --loss refuse -i odd.mbx mdbox:N
check "nothing written" absent N
