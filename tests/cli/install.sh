# make install puts down what is there, make uninstall leaves nothing behind, nor takes what was there before.
. "$MBX_TOP/tests/cli/lib.sh"
case $MBX_BIN in
*/build/release/bin) ;;
*)
	pass "only the release build is installed"
	exit 0
	;;
esac
pages='man1/mbxexport.1 man1/mbximport.1 man1/mbxverify.1 man5/mbxarchive.5'
programs='mbxexport mbximport mbxverify'

# tree DIRECTORY: its files
tree() { (cd "$1" && find . -type f | sed 's,^\./,,' | sort); }
# make_in TARGET ARGUMENT...
make_in() { env -u MAKEFLAGS -u MAKELEVEL make -s -C "$MBX_TOP" "$@"; }

# shellcheck disable=SC2086
{
	printf 'usr/bin/%s\n' $programs >want
	printf 'usr/share/man/%s\n' $pages >>want
}
mkdir stage
run 0 make_in install DESTDIR="$PWD/stage" PREFIX=/usr
check "files" [ "$(tree stage)" = "$(cat want)" ]
check "programs run" stage/usr/bin/mbxverify --version >/dev/null
check "modes" [ "$(find stage -type f -printf '%m\n' | sort | uniq -c | tr -s ' ')" = "$(printf ' 4 644\n 3 755')" ]
run 0 make_in uninstall DESTDIR="$PWD/stage" PREFIX=/usr
check "nothing is left" empty stage
check "but what was there" [ -d stage ]

run 0 make_in install PREFIX="$PWD/opt"
check "programs run" opt/bin/mbxexport --version >/dev/null
touch opt/share/man/other
run 0 make_in uninstall PREFIX="$PWD/opt"
check "another's file stays" [ "$(tree opt)" = share/man/other ]
