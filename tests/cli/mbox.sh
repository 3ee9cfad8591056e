# mbox, read and written: what comes back is what went in, and what cannot is said.
. "$MBX_TOP/tests/cli/lib.sh"

empty_file() { [ ! -s "$1" ]; }
losses() { grep 'loss:' err | grep -v "$@" >lost; }

# A Maildir with a large message, and one with lines that look like the start of another.
maildir M
{ message large && head -c 9000000 /dev/zero | tr '\0' '\n'; } >M/.Trash/cur/1700000003.M3P3.host:2,
{
	message from
	printf 'From joe@example.org  Thu Nov 29 22:33:52 2001\nSubject: not this\n\n>From here\nFrom there\n'
} >M/.Trash/cur/1700000004.M4P4.host:2,S
sed -i '1a 3 :1700000003.M3P3.host\n4 :1700000004.M4P4.host' M/.Trash/dovecot-uidlist
sed -i '1s/N[0-9]* /N9 /' M/.Trash/dovecot-uidlist
run 0 mbxexport -u joe -o m.mbx maildir:M

# There and back, INBOX elsewhere, in a time zone with summer time.
from=m.mbx
for step in mbox:B1:INBOX=var/joe:TZ=Europe/Berlin mbox:B2:TZ=America/New_York mbox:B3:INDEX=i:TZ=Europe/Berlin \
	mbox:B4:INDEX=i4:FULLDIRNAME=x:TZ=UTC mbox:B5:LAYOUT=maildir++:INBOX=var/ann:TZ=UTC \
	mbox:B6:LAYOUT=index:TZ=UTC maildir:M2; do
	name=${step#*:}
	name=${name%%:*}
	run 0 mbximport -u joe -i "$from" "$step"
	losses -e guid -e uidl -e order -e sharing -e recent -e modseq -e savedate
	check "nothing else lost into $name" empty_file lost
	run 0 mbxverify -u joe "$from" "$step"
	from=$name.mbx
	run 0 mbxexport -u joe -o "$from" "$step"
	run 0 mbxverify "$from"
done
check "content" diff <(mbxverify --tally m.mbx 2>err | cut -f 1,2,4-6) <(mbxverify --tally M2.mbx 2>err | cut -f 1,2,4-6)
check "mbox to mbox" cmp B1/Trash B3/Trash
check "the file of INBOX" [ -s var/joe ]
check "From_ lines stay as they are" grep -q '^From joe@example.org  Thu Nov 29' B1/Trash
run 73 mbximport -u joe -i m.mbx mbox:B2
says 'messages'
run 0 mbximport -u joe -i m.mbx --on-exist replace mbox:B2
says '.mbx-old.'
run 0 mbximport -u joe -i m.mbx -m INBOX mbox:P
run 0 mbximport -u joe -i m.mbx -x INBOX --on-exist merge mbox:P
run 0 mbxverify -u joe m.mbx mbox:P
run 73 mbximport -u joe -i m.mbx -m Trash --on-exist merge mbox:P

# Files of many users in one directory.
mkdir spool
cp var/joe spool/joe
cp B1/Trash spool/ann
run 0 mbxexport -A -o all.mbx mbox:spool/%u:TZ=Europe/Berlin
check "two users" [ "$(mbxverify --tally all.mbx 2>err | cut -f 1 | sort -u | grep -c .)" = 2 ]
for keys in DIRNAME=x FULLDIRNAME=x; do
	run 64 mbxexport -u joe -o x.mbx mbox:B1:$keys
	says 'an mbox needs INDEX= with it'
	run 64 mbximport -u joe -i m.mbx mbox:L:$keys
	says 'an mbox needs INDEX= with it'
done
check "nothing written" absent L
run 64 mbxexport -u joe -o x.mbx mbox:B1:TZ=Nowhere/Land
says 'knows no such time zone'
run 0 mbxexport -u joe -o x.mbx mbox:B1
says 'UTC'

# As nasty as mail comes: what changes is said, nothing gets lost.
python3 "$MBX_TOP/tests/gen_mail.py" nasty nasty 200000
mkdir -p N/cur N/new N/tmp
n=1700000000
find nasty -type f | LC_ALL=C sort | while read -r file; do
	n=$((n + 1))
	cp "$file" "N/cur/$n.M1P1.host:2,S"
done
run 0 mbxexport -u joe -o n.mbx maildir:N
run 0 mbximport -u joe -i n.mbx mbox:N1:TZ=UTC
losses -e header-fields -e line-ends -e guid
check "nothing else lost" empty_file lost
run 0 mbxexport -u joe -o n1.mbx mbox:N1:TZ=UTC
check "all messages" [ "$(mbxverify --tally n1.mbx 2>err | awk -F '\t' '$2 == "INBOX" { print $4 }')" = "$(find nasty -type f | wc -l)" ]
# And again: now there is nothing left that an mbox cannot hold.
run 0 mbximport -u joe -i n1.mbx mbox:N2:TZ=UTC
losses x
check "nothing lost the second time" empty_file lost
run 0 mbxverify -u joe n1.mbx mbox:N2:TZ=UTC
check "the same file" cmp N1/inbox N2/inbox
