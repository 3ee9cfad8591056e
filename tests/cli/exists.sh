# What lies at the destination already: it is never lost, and told by name.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
mbxexport -q -u joe -o a.mbx maildir:M

# Names of what is in the way.
mkdir D && cp -r M D/joe && echo x >D/joe/notes.txt
cp -r D before
run 73 mbximport -i a.mbx maildir:D/joe
for name in cur .Sent/cur .Trash/cur .Work.Deep/cur notes.txt; do says "$name"; done
check "left alone" diff -r before D
says "0 unreadable, 1 user failed"
rm -rf D/joe/.Sent/cur/* D/joe/.Trash D/joe/.Work.Deep D/joe/cur/*
for i in 1 2 3 4 5 6 7 8; do echo x >"D/joe/file$i"; done
run 73 mbximport -i a.mbx maildir:D/joe
says "9 files"
says ", ..."

# An account may be called as parts of a folder are.
for user in cur new tmp courierimapkeywords; do
	rm -rf D && mkdir -p "D/$user/cur" "D/$user/new" "D/$user/tmp"
	run 0 mbximport -i a.mbx "maildir:D/$user"
	check "all of it, $user" [ "$(cd "D/$user" && bodies .)" = "$(bodies M)" ]
	check "nothing beside it" [ "$(ls -A D)" = "$user" ]
done

# Places that lie inside each other cannot both be moved; nothing is said to be published then.
for key in CONTROL INDEX INBOX; do
	for mode in refuse merge replace; do
		rm -rf D && mkdir -p D/joe
		run 73 mbximport --on-exist $mode -i a.mbx "maildir:$PWD/D/joe/Maildir:$key=$PWD/D/joe"
		says "inside"
		check "nothing made, $key, $mode" empty D/joe
	done
done
rm -rf D && mkdir -p D/real && ln -s real D/link
run 73 mbximport -i a.mbx "maildir:$PWD/D/real/joe/Maildir:CONTROL=$PWD/D/link/joe"
run 73 mbximport -i a.mbx "maildir:$PWD/D/joe:CONTROL=$PWD/D/c:INBOX=$PWD/D/c"
says "the same"
run 0 mbximport -i a.mbx "maildir:$PWD/D/joe:CONTROL=$PWD/D/c:INDEX=$PWD/D/c/index"

# A place given by a symlink: the last part must not be one; before it, root follows root's only.
rm -rf D && mkdir -p D/real && ln -s real D/link && ln -s nowhere D/hanging && echo x >D/file
run 73 mbximport -i a.mbx maildir:D/link
run 73 mbximport -i a.mbx maildir:D/hanging/joe
run 73 mbximport -i a.mbx maildir:D/file/joe
run 0 mbximport -i a.mbx maildir:D/link/joe
check "behind the link" [ -d D/real/joe/cur ]
if [ "$(id -u)" = 0 ]; then
	chown -h nobody D/link
	for user in joe '%u'; do
		run 77 mbximport -u joe --on-exist replace -i a.mbx "maildir:$PWD/D/link/$user"
		run 77 mbximport --owner root -i a.mbx "maildir:$PWD/D/link/x$user/y"
		says "another user's symbolic link"
	done
	check "nothing more behind the link" [ "$(ls -A D/real)" = joe ]
	rm -rf D/real/joe && chown nobody D/real && chmod 755 . D
	run 0 mbximport -u joe -i a.mbx "maildir:$PWD/D/link/%u"
	check "but the owner's own link" [ "$(stat -c %U D/real/joe)" = nobody ]
fi

# Something mounted inside would be taken away with what is there.
if unshare -m true 2>/dev/null; then
	for mode in refuse merge; do
		rm -rf D && mkdir -p D/joe/cur D/joe/.Sent
		# shellcheck disable=SC2016
		run 73 unshare -m sh -c 'mount -t tmpfs none D/joe/.Sent && exec "$@"' sh \
			mbximport --on-exist $mode -i a.mbx maildir:D/joe
		says ".Sent is a mount point"
		check "nothing changed, $mode" [ "$(find D | sort | tr '\n' ' ')" = "D D/joe D/joe/.Sent D/joe/cur " ]
	done
fi
