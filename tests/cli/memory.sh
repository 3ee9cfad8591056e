# Out of memory is 71 wherever it happens, and never half a success.
. "$MBX_TOP/tests/cli/lib.sh"
if grep -q __asan_init "$MBX_BIN/mbxexport"; then
	pass "sanitizers need all the address space there is"
	exit 0
fi
big B 60
mbxexport -q -u joe -o b.mbx maildir:B
seen=0
for kb in 45000 50000 55000 60000 65000 70000 75000 80000 85000 90000; do
	(ulimit -v $kb && exec mbxexport -j 1 -u joe -o x.mbx maildir:B) >out 2>err
	got=$?
	case $got in
	127) grep -q 'shared' err && continue ;; # not even the libraries fit
	71) seen=$((seen + 1)) && check "export, $kb kB: no file" absent x.mbx ;;
	0) check "export, $kb kB: the file" mv x.mbx good.mbx ;;
	*) code $got 71 "export, $kb kB" ;;
	esac
	(ulimit -v $kb && exec mbximport -j 1 -i b.mbx "maildir:D$kb/%u") >out 2>err
	got=$?
	case $got in
	71)
		check "import, $kb kB: nothing" absent "D$kb/joe"
		check "said by name" not grep -qv '^mbximport: ' err
		;;
	0) check "import, $kb kB: all" [ "$(bodies B)" = "$(bodies "D$kb/joe")" ] ;;
	*) code $got 71 "import, $kb kB" ;;
	esac
done
check "memory was short $seen times" [ $seen -gt 0 ]
