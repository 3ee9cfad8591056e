# Stores that cannot be read whole, or change while they are read: exit 1, 2, 74, 75 and what is said.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
rm M/cur/1700000007.M7P1.host:2,
ln -s /etc/passwd M/cur/1700000007.M7P1.host:2,

run 74 mbxexport -u joe -o a.mbx maildir:M
says "joe: INBOX: uid 7: "
check "no file" absent a.mbx
run 1 mbxexport --bad-item-limit 1 -u joe -o a.mbx maildir:M
says "joe: INBOX: uid 7: "
check "told in the verdict" grep -q ', 1 unreadable$' err
check "no more than that" not grep -q root: <(zstd -dcq a.mbx)
cp err e.err
run 74 mbxexport -n -u joe maildir:M
check "the dry run says so, too" grep -q '^mbxexport: joe .*failed .* exit 74$' err
run 1 mbxexport -n --bad-item-limit 1 -u joe maildir:M
run 1 mbximport -i a.mbx 'maildir:D/%u'
says "joe: INBOX: uid 7: warning: was unreadable: "
check "published" [ "$(bodies D/joe | wc -l)" = 6 ]
verdict e.err >e.verdict
verdict err >i.verdict
check "the same verdict" cmp e.verdict i.verdict

# A listed message goes while an earlier part waits in the pipe.
big B 300
mkfifo p
changes() {
	mbxexport -j 1 "$@" -u joe maildir:B >p 2>err &
	exporter=$!
	exec 9<p
	head -c 200000 <&9 >first
	mv B/cur/*M300P9* gone
	cat <&9 >>first
	exec 9<&-
	wait $exporter
}
changes
code $? 2 "a message vanished"
says "uid 300"
check "told in the verdict" grep -q ', 1 changed$' err
run 2 mbximport -i first 'maildir:C/%u'
check "published" [ "$(bodies C/joe | wc -l)" = 299 ]
run 2 mbxverify first
run 2 mbxverify first maildir:C/joe
says 'no difference'
run 0 mbxverify maildir:B maildir:C/joe
mv gone B/cur/1700000000.M300P9.host:2,S
changes --frozen
code $? 75 "--frozen"
run 75 mbxverify first
run 75 mbxverify first maildir:C/joe
run 75 mbximport -i first 'maildir:F/%u'
check "not published" absent F/joe
