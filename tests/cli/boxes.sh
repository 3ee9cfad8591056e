# Which mailboxes, and under which names.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
# Special use as Dovecot keeps it: an attribute of the mailbox.
folder 'M/.100%' 6666 2 f
deliver 'M/.100%' 1 1700000001.M1P6.host ''

# boxes OPTION...: mailboxes that would be exported
boxes() { mailboxes -u joe "$@" maildir:M | sed 's/^joe: \(.*\): [0-9]* messages/\1/' | tr '\n' ' '; }
check "all" [ "$(boxes)" = 'INBOX 100%25 Sent Trash Work/Deep ' ]
check "-m" [ "$(boxes -m INBOX)" = 'INBOX ' ]
check "INBOX in any case" [ "$(boxes -m inbox)" = 'INBOX ' ]
check "-m twice" [ "$(boxes -m Sent -m Trash)" = 'Sent Trash ' ]
check "level" [ "$(boxes -m 'Work/%')" = 'Work/Deep ' ]
check "%" [ "$(boxes -m '%')" = 'INBOX 100%25 Sent Trash ' ]
check "*" [ "$(boxes -m 'W*')" = 'Work/Deep ' ]
check "-x" [ "$(boxes -x Trash -x '100%')" = 'INBOX Sent Work/Deep ' ]
check "-m and -x" [ "$(boxes -m 'INBOX' -m 'W*' -x '*/Deep')" = 'INBOX ' ]
check "its own name is a mask" [ "$(boxes -m '100%25')" = '100%25 ' ]
run 66 mbxexport -n -u joe -m Nope maildir:M
run 0 mbxexport -n -u joe -x Nope maildir:M

mbxexport -q -u joe maildir:M >a.mbx
run 0 mbximport -m 'Work/*' -m INBOX -i a.mbx maildir:some
check "selected at import" [ "$(bodies some | wc -l)" = 5 ]
run 66 mbximport -m Nope -i a.mbx maildir:none

# got STORE: mailboxes with messages
got() { mailboxes -u joe "$1" | sed -n 's/^joe: \(.*\): \([1-9][0-9]*\) messages/\1=\2/p' | tr '\n' ' '; }
run 0 mbximport --map-mailbox Work=Projects/Old -i a.mbx maildir:mapped
check "--map-mailbox" [ "$(got maildir:mapped)" = 'INBOX=3 100%25=1 Projects/Old/Deep=2 Sent=1 Trash=1 ' ]
check "subscriptions follow" grep -q 'Projects.Old.Deep' <(tr '\t' . <mapped/subscriptions)
run 0 mbximport --map-mailbox Work=A --map-mailbox Work/Deep=B -i a.mbx maildir:longest
check "the longest wins" [ "$(got maildir:longest)" = 'INBOX=3 100%25=1 B=2 Sent=1 Trash=1 ' ]
run 0 mbximport --under Old -i a.mbx maildir:under
check "--under" [ "$(got maildir:under)" = 'Old/100%25=1 Old/INBOX=3 Old/Sent=1 Old/Trash=1 Old/Work/Deep=2 ' ]
# Beside the mail that is there: no GUID twice, so that METADATA stays with its mailbox.
B=$(printf 'b%.0s' {1..32})
printf 'priv/%s/comment\nthen\n' "$B" >M/dovecot-attributes
mbxexport -q -u joe -o then.mbx maildir:M
cp -r M beside
printf 'priv/%s/comment\nnow\n' "$B" >beside/dovecot-attributes
run 0 mbximport --under Restored --on-exist merge -i then.mbx maildir:beside
guids() { find "$1" -name dovecot-uidlist -exec sed -n 's/^3 .* G\([0-9a-f]*\).*/\1/p' {} + | sort; }
check "ten mailboxes" [ "$(guids beside | wc -l)" = 10 ]
check "ten GUIDs" [ "$(guids beside | uniq -d)" = '' ]
check "what was there keeps its METADATA" [ "$(grep -A 1 "$B" beside/dovecot-attributes)" = "priv/$B/comment
now" ]
run 0 mbxverify --under Restored then.mbx maildir:beside
says "not compared: mailbox-guid of mailboxes with a new name"
rm M/dovecot-attributes
run 64 mbximport --map-mailbox Work -i a.mbx maildir:bad
run 64 mbximport --under a --under b -i a.mbx maildir:bad
check "nothing made" absent bad

# Users.
run 0 mbximport --map-user joe=sue -i a.mbx 'maildir:u/%u'
check "--map-user" [ "$(ls -A u)" = sue ]
printf '# comment\n\njoe=ann\n' >map
run 0 mbximport --user-map map -i a.mbx 'maildir:w/%u'
check "--user-map" [ "$(ls -A w)" = ann ]
run 0 mbximport -u joe --map-user joe=ann@x.org -i a.mbx 'maildir:x/%d/%n'
check "-u is the archive's name" [ "$(bodies M)" = "$(bodies x/x.org/ann)" ]
run 66 mbximport --map-user joe=../x -i a.mbx 'maildir:y/%u'
check "nothing made" empty y

# Special use, where the store tells it.
printf 'priv/%s/specialuse\n\\Trash\n' cccccccccccccccccccccccccccccccc >M/dovecot-attributes
check "-x special use" [ "$(boxes -x '\Trash')" = 'INBOX 100%25 Sent Work/Deep ' ]
check "-m special use" [ "$(boxes -m '\trash')" = 'Trash ' ]
