# SIGINT, SIGTERM, SIGHUP and SIGUSR1, while a pipe is waited for as well.
. "$MBX_TOP/tests/cli/lib.sh"
big B 90
mkfifo p hold

# A process waits in the kernel for its pipe.
waits() { grep -q pipe "/proc/$1/wchan" 2>/dev/null || grep -qE '^State:\s+S' "/proc/$1/status"; }

for sig in INT:130 TERM:143 HUP:129; do
	# The exporter waits for a reader who does not read.
	# shellcheck disable=SC2217
	sleep 1000 <p &
	reader=$!
	env --default-signal=INT,TERM,HUP mbxexport -u joe maildir:B >p 2>err &
	exporter=$!
	wait_for waits $exporter
	kill -USR1 $exporter
	wait_for grep -q 'messages, .*/s, ' err
	pass "USR1 prints progress"
	kill -"${sig%:*}" $exporter
	wait $exporter
	code $? "${sig#*:}" "exporter, ${sig%:*}"
	says "stopped by SIG${sig%:*}"
	kill $reader
	wait $reader 2>/dev/null

	# The importer waits for a writer who does not write.
	mkdir D
	mbxexport -q -u joe maildir:B >b.mbx
	{ head -c 6000000 b.mbx; read -r _ <hold; } >p &
	writer=$!
	env --default-signal=INT,TERM,HUP mbximport 'maildir:D/%u' <p >out 2>err &
	importer=$!
	wait_for [ -e D/.mbx-stage.joe ]
	kill -USR1 $importer
	wait_for grep -q 'messages, .*/s, ' err
	pass "USR1 prints progress"
	kill -"${sig%:*}" $importer
	wait $importer
	code $? "${sig#*:}" "importer, ${sig%:*}"
	check "nothing left" empty D
	echo >hold
	wait $writer
	rmdir D
done

# -o leaves nothing behind.
mkdir d
env --default-signal=TERM mbxexport --bwlimit 100k -u joe -o d/x.mbx maildir:B 2>err &
exporter=$!
wait_for not empty d
kill -TERM $exporter
wait $exporter
code $? 143 "-o, TERM"
check "nothing left" empty d

# SIGUSR1 does no harm before the run begins: the names of users are waited for.
reads() { grep -q mbxexport "/proc/$1/comm" && waits "$1"; }
mbxexport -n -F - maildir:B <p >out 2>err &
exporter=$!
exec 9>p
wait_for reads $exporter
kill -USR1 $exporter
echo joe >&9
exec 9>&-
wait $exporter
code $? 0 "USR1, early"
