# Streams that end early: never a success, nothing visible of the user in hand.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
# Three segments: a user is given on when the first is checked.
big B 90

mbxexport -u joe maildir:B 2>err | head -c 1000 >/dev/null
code "${PIPESTATUS[0]}" 74 "closed pipe"
says "Broken pipe"

mbxexport -q -u joe maildir:M >a.mbx
size=$(stat -c %s a.mbx)
for n in 0 1 17 100 500 $((size / 2)) $((size * 3 / 4)) $((size - 500)) $((size - 20)) $((size - 1)); do
	mkdir cut
	head -c $n a.mbx >cut.mbx
	run 65 mbximport -i cut.mbx 'maildir:cut/%u'
	check "$n of $size bytes: nothing left" empty cut
	rm -rf cut
done
mkdir cut
{ cat a.mbx; printf x; } >long.mbx
run 65 mbximport -i long.mbx 'maildir:cut/%u'
check "one byte more: nothing left" empty cut
cat a.mbx a.mbx >twice.mbx
run 65 mbximport -i twice.mbx 'maildir:cut/%u'
check "two archives: nothing left" empty cut

# Two users, cut within the second: the first is published only if the stream came to the second.
mkdir -p two && cp -a M two/ann && cp -a B two/bob
mbxexport -q -A 'maildir:two/%u' >two.mbx
size=$(stat -c %s two.mbx)
head -c $((size - 100000)) two.mbx >cut.mbx
run 65 mbximport -i cut.mbx 'maildir:cut/%u'
check "ann is there" [ "$(bodies two/ann)" = "$(bodies cut/ann)" ]
check "bob is not" [ "$(ls -A cut)" = ann ]
says "1 of the 2 users seen was published"
run 65 mbximport --publish end -i cut.mbx 'maildir:end/%u'
check "--publish end: nothing" empty end

# A killed exporter.
mkdir killed
mkfifo p
mbximport 'maildir:killed/%u' <p >out 2>err &
importer=$!
mbxexport -q --bwlimit 4M -u joe maildir:B >p 2>/dev/null &
exporter=$!
wait_for [ -e killed/.mbx-stage.joe ]
kill -9 $exporter
wait $importer
code $? 65 "killed exporter"
wait $exporter 2>/dev/null
check "nothing visible" empty killed

# A killed importer: nothing visible, and the next run clears up.
mbxexport -q --bwlimit 4M -u joe maildir:B >p 2>/dev/null &
exporter=$!
mbximport 'maildir:killed/%u' <p >out 2>err &
importer=$!
wait_for [ -e killed/.mbx-stage.joe ]
kill -9 $importer
wait $importer 2>/dev/null
wait $exporter
code $? 74 "exporter of a killed importer"
check "nothing visible" absent killed/joe
mbxexport -q -u joe maildir:B | run 0 mbximport 'maildir:killed/%u'
check "the next run" [ "$(bodies B)" = "$(bodies killed/joe)" ]
check "cleared up" [ "$(ls -A killed)" = joe ]
