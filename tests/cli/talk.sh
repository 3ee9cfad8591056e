# What is said: JSON, reports, progress, the dry run, quiet and verbose.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
mkdir -p v && cp -a M v/ann && cp -a M v/bob
big B 40

# json FILE EXPRESSION: true of the list e of all lines
json() {
	python3 - "$1" "$2" <<'P'
import json, sys
e = [json.loads(line) for line in open(sys.argv[1])]
assert e and all(x["schema"] == 1 and x["type"] and x["program"] for x in e), e
sys.exit(not eval(sys.argv[2]))
P
}
mbxexport --json -A 'maildir:v/%u' 2>e.json | mbximport --json 'maildir:n/%u' 2>i.json
for f in e.json i.json; do
	check "$f: users" json $f '[x["user"] for x in e if x["type"] == "user"] == ["ann", "bob"]'
	check "$f: verdict" json $f '[(x["users"], x["messages"], len(x["content"])) for x in e if x["type"] == "verdict"] == [(2, 14, 64)]'
	check "$f: end" json $f 'e[-1]["type"] == "end" and e[-1]["exit"] == 0'
done
check "the same roots" [ "$(grep -o '"content":.*' e.json)" = "$(grep -o '"content":.*' i.json)" ] 2>/dev/null
run 66 mbxexport --json -u joe -o x.mbx maildir:none
cp err x.json
check "errors are events" json x.json 'any(x["type"] == "message" and x["level"] == "error" for x in e) and e[-1]["exit"] == 66'

# Also those of a run that never began.
for c in "64 mbxexport --json" "64 mbximport --nope --json" "69 mbxexport --since x --json maildir:M" "66 mbxverify --json none.mbx" \
	"64 mbxverify --json --ignore colour a b" "73 mbxexport --json --report none/r.json -u joe maildir:M"; do
	# shellcheck disable=SC2086
	run $c
	cp err x.json
	check "an event" json x.json "[x['type'] for x in e] == ['message', 'end'] and e[-1]['exit'] == ${c%% *}"
done

# The table comes with two users, not with one.
run 0 mbxexport -A -o t.mbx 'maildir:v/%u'
check "table" [ "$(grep -c 'complete ' err)" = 2 ]
run 0 mbxexport -u ann --force -o t.mbx 'maildir:v/%u'
check "no table" [ "$(wc -l <err)" = 2 ]
run 0 mbxexport -q -A --force -o t.mbx 'maildir:v/%u'
silent
# It also comes when the only user failed: the verdict is that of the archive.
run 73 mbximport -u ann -i t.mbx maildir:M
check "failed" grep -qE '^mbximport: ann +failed .* exit 73$' err
run 73 mbximport --json --report one.json -u ann -i t.mbx maildir:M
cp err x.json
check "a failed user's event" json x.json '[(x["outcome"], x["exit"]) for x in e if x["type"] == "user"] == [("failed", 73)]'
check "and report" python3 -c 'import json; assert json.load(open("one.json"))["users"][0]["exit"] == 73'

# Reports.
run 0 mbxexport -A --report r.json --force -o t.mbx 'maildir:v/%u'
check "JSON report" python3 -c 'import json; r = json.load(open("r.json")); assert r["exit"] == 0 and len(r["users"]) == 2 and r["totals"]["messages"] == 14'
run 0 mbximport -n --report r.html -i t.mbx 'maildir:w/%u'
check "HTML report" python3 - <<'P'
from html.parser import HTMLParser
class P(HTMLParser):
    void = {"meta", "br", "link"}
    def __init__(self): super().__init__(); self.stack = []; self.seen = set()
    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert tag not in ("script", "link", "img")
        if tag not in self.void: self.stack.append(tag)
    def handle_endtag(self, tag): assert self.stack.pop() == tag
p = P(); text = open("r.html").read(); p.feed(text)
assert text.startswith("<!DOCTYPE html>") and not p.stack and "table" in p.seen and "ann" in text
P
run 66 mbxexport --report bad.json -u joe maildir:none
check "a failed run reports too" python3 -c 'import json; assert json.load(open("bad.json"))["exit"] == 66'
run 73 mbxexport --report none/r.json -u joe maildir:M

# Dry runs.
run 0 mbxexport -n -v -u joe maildir:M
check "no archive" [ ! -s out ]
check "counts" grep -q '^mbxexport: 1 user, 4 mailboxes, 7 messages, [1-9][0-9]* bytes, 0 unreadable$' err
check "each mailbox" grep -q '^mbxexport: joe: Work/Deep: 2 messages, [0-9]* bytes$' err
run 0 mbximport -n -i t.mbx 'maildir:w/%u'
check "nothing written" absent w
says "dry run: nothing was written"

# Progress: on a terminal a line that is overwritten, elsewhere none unless asked for.
cat >terminal.py <<'P'
import os, pty, sys
status = pty.spawn(["sh", "-c", sys.argv[1]])
sys.exit(os.waitstatus_to_exitcode(status))
P
run 0 python3 terminal.py 'mbxexport --bwlimit 3M -u joe maildir:B >/dev/null'
check "progress line" grep -q $'\r.*mbxexport: 1 user, 1 mailbox, .*/s, 0:00:0.*\033\\[K' out
big G 120
run 0 python3 terminal.py 'mbxexport --bwlimit 6M -u joe maildir:G >/dev/null'
check "it fits, with the time left" grep -qE $'\rmbxexport: [^\r]{,60} left here\033\\[K' out
run 0 python3 terminal.py 'mbxexport --no-progress --bwlimit 3M -u joe maildir:B >/dev/null'
check "no progress line" not grep -q $'\033' out
run 0 mbxexport --bwlimit 3M -u joe -o /dev/null maildir:B
check "no progress elsewhere" [ "$(wc -l <err)" = 2 ]

# Names cannot move the cursor.
cp -a M "$(printf 'v/e\033[2Jvil')"
run 66 mbxexport -u "$(printf 'e\033[2Jvil')" 'maildir:v/%u'
check "escaped" not grep -q $'\033' err

# Every option is in the man page: those of --help, and those of a later version, which are refused.
for p in export/mbxexport import/mbximport verify/mbxverify; do
	options=$("$(basename $p)" --help | grep -oE -- '--[a-z-]+' | sort -u)
	for later in since state print-token resume encrypt-to passphrase-file identity sign trusted-signer require-sandbox shared; do
		"$(basename $p)" --$later x 2>/dev/null
		[ $? = 69 ] && options+=" --$later"
	done
	missing=$(for o in $options; do grep -q -- "Fl ${o#-}\b" "$MBX_TOP/$p.1" || echo "$o"; done)
	check "$p.1 has every option: $missing" [ -z "$missing" ]
done
