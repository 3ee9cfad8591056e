# Disks that are full, break, or are over quota; pipes that are closed or slow; modes of what is written.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
big B 30
mbxexport -q -u joe -o m.mbx maildir:M
mbxexport -q -u joe -o b.mbx maildir:B
want=$(bodies M)

# A file system without room: first for bytes, then for files. Then there is room.
full() {
	mkdir -p D
	unshare -m bash -c "mount -t tmpfs -o $1 none D && { mbximport -i b.mbx 'courier:D/%u'; echo \$? >code; ls -A D >left; }" 2>err
	code "$(cat code)" "$2" "a disk of $1"
	rm code
}
if [ "$(id -u)" = 0 ] && mkdir -p D && unshare -m mount -t tmpfs none D 2>/dev/null; then
	for size in size=64k size=1m size=2500k size=30m,nr_inodes=3 size=30m,nr_inodes=9 size=30m,nr_inodes=30; do
		full $size 73
		says "No space left on device"
		check "nothing left" not test -s left
	done
	full size=30m 0
	check "only the user" [ "$(cat left)" = joe ]
	unshare -m bash -c "mount -t tmpfs -o size=1m none D && { mbxexport -u joe -o D/x.mbx maildir:B; echo \$? >code; ls -A D >left; }" 2>err
	code "$(cat code)" 73 "-o on a full disk"
	check "nothing left" not test -s left
else
	pass "no right to mount: no disk that is full"
fi

# One call after the other fails. Nothing is visible, or all is; the next run finds nothing in its way.
preload() {
	ASAN_OPTIONS=${ASAN_OPTIONS-}:verify_asan_link_order=0
	export ASAN_OPTIONS
	${CC:-cc} -shared -fPIC -o faulty.so "$MBX_TOP/tests/cli/faulty.c" 2>/dev/null
}
# fails CALL ERRNO CODE: mbximport with the first, the second ... CALL failing
fails() {
	local n got bad=0 failed=0
	for ((n = 1; ; n++)); do
		rm -rf D && mkdir D
		FAULT=$1:$n:$2 FAULT_COUNT=count LD_PRELOAD=$PWD/faulty.so mbximport -q -j 1 -i m.mbx 'maildir:D/%u' 2>err
		got=$?
		[ "$(cat count)" -ge $n ] || break
		case $got in
		0) [ "$(bodies D/joe)" = "$want" ] || bad=1 ;;
		"$3")
			failed=$((failed + 1))
			empty D || bad=1
			mbximport -q -j 1 -i m.mbx 'maildir:D/%u' 2>/dev/null && [ "$(ls -A D)" = joe ] || bad=1
			;;
		*) bad=1 ;;
		esac
		[ $bad = 0 ] || break
	done
	check "$1 fails with errno $2, $failed times ($got: $(head -n 1 err))" [ $bad = 0 ]
	check "$1: the fault was there" [ $failed -gt 0 ]
}
# breaks CALL: mbxexport -o
breaks() {
	local n got bad=0 failed=0
	mkdir -p E
	for ((n = 1; ; n++)); do
		FAULT=$1:$n:5 FAULT_COUNT=count LD_PRELOAD=$PWD/faulty.so mbxexport -q -u joe -o E/x.mbx maildir:M 2>err
		got=$?
		[ "$(cat count)" -ge $n ] || break
		[ $got = 0 ] || failed=$((failed + 1))
		# What has the name is whole, even if its directory could not be synced.
		if [ $got = 0 ] || ! empty E; then mbxverify -q E/x.mbx || bad=1; fi
		rm -f E/x.mbx
		empty E || bad=1
	done
	rm -f E/x.mbx
	check "mbxexport: $1 fails, $failed times" [ $bad = 0 ]
	check "mbxexport: $1: the fault was there" [ $failed -gt 0 ]
}
if preload; then
	fails write 28 73
	rm -rf D
	run 73 env FAULT=write:5:122 LD_PRELOAD="$PWD/faulty.so" mbximport -i m.mbx 'maildir:D/%u'
	says "Disk quota exceeded"
	for call in openat mkdirat rename fsync syncfs futimens; do fails $call 5 74; done
	for call in write fsync rename; do breaks $call; done
	# All that comes behind fails too.
	for n in 1 7 15; do
		rm -rf D && mkdir D
		run 74 env FAULT=write:$n+:5 LD_PRELOAD="$PWD/faulty.so" mbximport -j 1 -i m.mbx 'maildir:D/%u'
		check "nothing left" empty D
	done
else
	pass "nothing can be preloaded"
fi

# A pipe of one byte at a time, and ones that close; SIGPIPE may be ignored or not.
mbxexport -q -u joe maildir:M | dd bs=1 2>/dev/null | mbximport -q 'maildir:slow/%u' 2>err
check "slow: every exit code is 0" [ "${PIPESTATUS[*]}" = "0 0 0" ]
check "slow: all is there" [ "$(bodies slow/joe)" = "$want" ]
for mode in default ignore; do
	for n in 0 1 700 100000; do
		env --$mode-signal=PIPE mbxexport -u joe maildir:B 2>err | head -c $n >/dev/null
		code "${PIPESTATUS[0]}" 74 "closed after $n bytes, SIGPIPE $mode"
		says "Broken pipe"
	done
done
for program in "mbxverify --list m.mbx" "mbxverify --tally m.mbx" "mbxexport --help"; do
	run 73 bash -c "$program >/dev/full"
	run 74 bash -c "$program >&-"
done

# Killed: what was written so far does not have the name.
mkdir K
mbxexport -q --bwlimit 100k -u joe -o K/x.mbx maildir:B &
exporter=$!
wait_for not empty K
kill -9 $exporter
wait $exporter 2>/dev/null
check "no file of that name" absent K/x.mbx
check "what is left is private" [ "$(stat -c %a K/.mbxexport.*)" = 600 ]

# Nothing is open to others because of the umask.
(umask 000 && mbximport -q -i m.mbx 'maildir:U/%u' && mbxverify -q --report r.json m.mbx) 2>err
check "umask 000: directories" [ -z "$(find U/joe -type d ! -perm 700)" ]
check "umask 000: files" [ -z "$(find U/joe -type f ! -perm 600)" ]
check "umask 000: the report" [ "$(stat -c %a r.json)" = 600 ]
