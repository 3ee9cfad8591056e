# What an archive is to plain tools, wherever it is cut; that its bytes are the same everywhere; and what is
# left of a damaged one.
. "$MBX_TOP/tests/cli/lib.sh"
export MBX_TEST_ID=00112233445566778899aabbccddeeff SOURCE_DATE_EPOCH=1700000000
maildir M
{
	message large
	yes 'a line of a message that no single frame can hold' | head -c 9000000
} >'M/.Sent/cur/1700000009.M9P2.host:2,S'
echo '9 :1700000009.M9P2.host' >>M/.Sent/dovecot-uidlist
python3 "$MBX_TOP/tests/gen_mail.py" nasty nasty 100000 >/dev/null
folder M/.Nasty 6666 1 f
for f in nasty/*; do
	n=$((${n-0} + 1))
	name=1700000000.M${n}P5.host,S=$(stat -c %s "$f")
	cp "$f" "M/.Nasty/cur/$name:2,"
	touch -d @$((1000000000 + n)) "M/.Nasty/cur/$name:2,"
	echo "$n :$name" >>M/.Nasty/dovecot-uidlist
done
run 0 mbxexport -u joe -o a.mbx maildir:M
frames=$(grep -abo MBXS a.mbx | cut -d: -f1)
check "there are several frames" [ "$(wc -w <<<"$frames")" -ge 6 ]

# 64 levels are moved, 65 are told.
deep() { printf F && printf '/l%.0s' $(seq "$1"); }
folder F 7777 1 a
folder "$(deep 64)" 8888 5 b
deliver "$(deep 64)" 3 1700000003.M3P1.host S
run 0 mbxexport -u joe -o deep.mbx maildir:F:LAYOUT=fs
for store in maildir:deep1 maildir:deep2:LAYOUT=fs courier:deep3; do
	run 0 mbximport --fsync never -i deep.mbx "$store"
	run 0 mbxverify deep.mbx "$store"
	says "1 message"
done
run 73 mbximport --under Old -i deep.mbx maildir:deep4:LAYOUT=fs
says "too long or too deep"
check "nothing published" absent deep4
folder "$(deep 65)" 9999 5 c
run 74 mbxexport -u joe -o deeper.mbx maildir:F:LAYOUT=fs
says "is more than 64 levels deep"

# What mbxarchive(5) says of every byte is true.
run 0 python3 "$MBX_TOP/tests/cli/second_reader.py" a.mbx "$MBX_TOP"/tests/vectors/*.mbx

# The same bytes for any number of threads and in any locale, even one that is not UTF-8.
mkdir locale
localedef -i de_DE -f ISO-8859-1 locale/de_DE.ISO-8859-1 >/dev/null 2>&1 &&
	locales=de_DE.ISO-8859-1
for j in 1 2 8; do
	run 0 mbxexport -j $j -u joe maildir:M
	check "-j $j: the same bytes" cmp a.mbx out
done
for l in POSIX C.UTF-8 ${locales-}; do
	run 0 env LOCPATH="$PWD/locale" LC_ALL="$l" TZ=Asia/Kolkata mbxexport -u joe maildir:M
	check "locale $l: the same bytes" cmp a.mbx out
done

# Plain tools: not a word on standard error, every message with its bytes and its date.
# Every digest of a row is what sha256sum says of the extracted file, in its canonical form.
sums() {
	awk -F '\t' '
		FNR == 1 { split(FILENAME, part, "/") }
		$1 == "N" { user = $3 }
		$1 == "B" { box = $3 }
		$1 == "M" || $1 == "L" { uid = $2; size = $3 }
		$1 == "M" && $5 == "-" { next }
		$1 == "M" || $1 == "L" { print $5 "  " user "/" box "/" sprintf("%06d/%010d.eml", uid / 10000, uid) }
		$1 == "C" { print $4 "  " user "/" box "/" sprintf("%06d/%010d.eml", $2 / 10000, $2) }' \
		"$1"/.mbx/seg/*.tsv | sort
}
canonical() {
	(cd "$1" && find joe -name '*.eml' | while read -r f; do
		printf '%s  %s\n' "$(sed -z 's/\r\n/\n/g; s/\n/\r\n/g' "$f" | sha256sum | cut -d' ' -f1)" "$f"
	done | sort)
}
# extracts WHAT COMMAND: the command extracts a.mbx into ./x
extracts() {
	local what=$1
	rm -rf x && mkdir x
	bash -c "set -o pipefail; $2" >out 2>err
	code $? 0 "$what"
	silent
	check "$what: the bytes" [ "$(find x -name '*.eml' -exec sha256sum {} + | cut -d' ' -f1 | sort)" = "$(bodies M)" ]
	check "$what: the dates" [ "$(find x -name '*.eml' -printf '%Ts\n' | sort)" = \
		"$(find M -path '*/cur/*' -printf '%Ts\n' | sort)" ]
}
extracts "zstd and tar" "zstd -dc a.mbx | tar -xf - -C x"
check "rows and sha256sum agree" [ "$(sums x)" = "$(canonical x)" ]
check "that is all of them" [ "$(sums x | wc -l)" = "$(bodies M | wc -l)" ]
extracts "tar" "tar -xf a.mbx -C x"
extracts "bsdtar" "bsdtar -xf a.mbx -C x"
extracts "python" "zstd -dc a.mbx | python3 -c 'import sys, tarfile
tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\").extractall(\"x\")'"
if command -v pzstd >/dev/null; then extracts pzstd "pzstd -dcq a.mbx | tar -xf - -C x"; fi
if command -v busybox >/dev/null; then extracts busybox "zstd -dc a.mbx | busybox tar -xf - -C x"; fi
check "zstd -l" bash -c 'zstd -lv a.mbx 2>&1 | grep -q "Check: XXH64"'
if command -v file >/dev/null; then check "file" grep -q Zstandard <(file a.mbx); fi

# Cut anywhere before its last block, tar fails, whatever zstd says; up to the seek table one of the two does;
# without it the archive is complete for them.
cuts() {
	local end n bad=0 status
	# The table has 8 bytes in front, 9 behind, and 8 for each of its frames: F0, and two for each seal.
	end=$(($(stat -c %s "$1") - 17 - 8 * (1 + 2 * $(grep -abo MBXS "$1" | wc -l))))
	for n in $(seq 0 "$2" $((end - 5))) $(seq $((end - 9)) $((end - 1))); do
		head -c "$n" "$1" | zstd -dcq 2>/dev/null | tar -t >/dev/null 2>&1
		status=("${PIPESTATUS[@]}")
		# The last four bytes of a frame are its checksum: all blocks are out by then.
		[ "${status[2]}" != 0 ] || { [ "${status[1]}" != 0 ] && [ "$n" -ge $((end - 4)) ]; } || {
			bad=$((bad + 1))
			echo "tar accepts $n bytes"
		}
	done
	head -c $end "$1" | zstd -dcq | tar -t >/dev/null || bad=$((bad + 1))
	[ $bad = 0 ]
}
check "cut anywhere: tar fails" cuts "$MBX_TOP/tests/vectors/failed.mbx" 197
check "cut anywhere: tar fails" cuts a.mbx $(($(stat -c %s a.mbx) / 8))
for at in $frames; do
	for n in $((at - 8)) $((at + 168)); do
		check "cut at $n: tar fails" bash -c "! (head -c $n a.mbx | zstd -dcq 2>/dev/null | tar -t >/dev/null 2>&1)"
	done
done

# Damage in one frame: what is lost is named, the rest can be had, by hand too.
flip() {
	python3 -c 'import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[2])] ^= 1
open(sys.argv[3], "wb").write(data)' "$@"
}
for at in $frames; do
	flip a.mbx $((at + 168 + 30)) broken.mbx
	run 65 mbxverify broken.mbx
	says "its digest is not that of its seal"
	says "are known to be lost"
	run 65 mbximport --fsync never -i broken.mbx 'maildir:new/%u'
	check "nothing published" empty new
done
read -r -d '' -a frame <<<"$frames"
flip a.mbx $((frame[2] + 168 + 30)) broken.mbx
run 65 mbxverify broken.mbx
says "joe: Sent: uid 9: 1 message lost: its body is damaged or missing"
says "$(($(bodies M | wc -l) - 1)) messages are whole, 1 are known to be lost"
check "nothing else is named" [ "$(grep -c ' lost: ' err)" = 1 ]
# By hand: from the first seal of kind 0 behind the damage; the kind is the byte 8 behind "MBXS".
for at in "${frame[@]:3}"; do
	[ "$(tail -c +$((at + 9)) a.mbx | head -c 1 | od -An -tu1)" -eq 0 ] && break
done
mkdir hand
tail -c +$((at - 7)) broken.mbx | zstd -dcq | tail -c +513 | tar -xf - -C hand
check "by hand: what comes behind" [ -e hand/joe/Work/Deep/000000/0000000002.eml ]
# A file that was cut, something that is no archive, and a pipe have nothing more to tell.
head -c $((frame[1] + 500)) a.mbx >cut.mbx
run 65 mbxverify cut.mbx
says "are known to be lost"
run 65 mbxverify /etc/passwd
check "no more than that" [ "$(wc -l <err)" = 1 ]
mbxverify - <<<"no archive" >out 2>err
code $? 65 "no archive"
run 65 mbxverify --max-messages 3 a.mbx
check "no more than that" [ "$(wc -l <err)" = 1 ]
# Too much is refused before it is read, and nothing of it published.
for limit in '--max-messages 3' '--max-bytes 1M'; do
	# shellcheck disable=SC2086
	run 65 mbximport $limit -i a.mbx 'maildir:new/%u'
	says "more than"
	check "nothing published" empty new
done
