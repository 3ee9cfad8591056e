# Which users: templates, masks, files, -A; what a name may not be; one failure among many.
. "$MBX_TOP/tests/cli/lib.sh"
mkdir -p v/a.org/joe v/a.org/empty v/b.org/.hidden v/c:d
maildir v/a.org/joe/Maildir
maildir v/a.org/sue/Maildir
maildir v/b.org/ann/Maildir
maildir 'v/c:d/zed'
cp -a v/a.org/joe/Maildir v/a.org/flat
T='maildir:v/%d/%n/Maildir'

# users OPTION...: who would be exported
users() { mbxexport -n --json "$@" 2>&1 | sed -n 's/.*"type":"user".*"user":"\([^"]*\)".*/\1/p' | tr '\n' ' '; }
check "-u" [ "$(users -u joe@a.org "$T")" = 'joe@a.org ' ]
check "-u -u" [ "$(users -u sue@a.org -u joe@a.org "$T")" = 'joe@a.org sue@a.org ' ]
check "-A" [ "$(users -A "$T")" = 'ann@b.org joe@a.org sue@a.org ' ]
check "mask *" [ "$(users -u '*@a.org' "$T")" = 'joe@a.org sue@a.org ' ]
check "mask ?" [ "$(users -u '?o?@*' "$T")" = 'joe@a.org ' ]
printf 'sue@a.org\r\n\nann@b.org\n' >list
check "-F" [ "$(users -F list "$T")" = 'ann@b.org sue@a.org ' ]
check "-F -" [ "$(users -F - "$T" <list)" = 'ann@b.org sue@a.org ' ]
check "-F and -u" [ "$(users -F list -u joe@a.org "$T")" = 'ann@b.org joe@a.org sue@a.org ' ]
check "::" [ "$(users -u zed 'maildir:v/c::d/%u')" = 'zed ' ]
check "--home" [ "$(users -A --home 'v/%d/%n' 'maildir:~/Maildir')" = 'ann@b.org joe@a.org sue@a.org ' ]
check "%L" [ "$(users -u JOE@A.ORG 'maildir:v/%Ld/%Ln/Maildir')" = 'JOE@A.ORG ' ]
check "digits" [ "$(users -u joe 'maildir:v/%0.0n' 2>&1)" = '' ]
check "-A skips what is no store" [ "$(users -A 'maildir:v/a.org/%u')" = 'flat ' ]
run 0 mbxexport -n -v -A 'maildir:v/a.org/%u'
says "empty: skipped"
run 74 mbxexport -n -A "$T:CONTROL=$PWD/none/%u"
check "no user is left out" grep -q "3 users failed" err
check "one user, -u names it" [ "$(users -u other maildir:v/c::d/zed)" = 'other ' ]
check "one user, else the login" [ "$(users maildir:v/c::d/zed)" = "$(id -un) " ]

# Names that would leave the template.
for name in ../joe@a.org 'a/b@a.org' joe@.. joe@. .joe@a.org joe @a.org "$(printf 'j\001@a.org')"; do
	run 66 mbxexport -u "$name" "$T"
	says "user name refused"
done

# Nothing matches.
run 66 mbxexport -n -u 'x*' "$T"
says "no user matches"
run 66 mbxexport -n -u joe@a.org -u 'x*' "$T"
says 'nothing matches x*'
run 66 mbxexport -n -A 'maildir:none/%u'
run 66 mbxexport -n -u joe@a.org -m Nope "$T"
says 'nothing matches Nope'

# One of three fails; the others come through, the table tells.
mbxexport -u joe@a.org -u nope@a.org -u sue@a.org "$T" 2>e.err >three.mbx
code $? 66 "one of three fails"
check "table" grep -q 'nope@a.org *failed .*exit 66' e.err
check "verdict counts it" grep -q ', 1 user failed$' e.err
run 66 mbximport -i three.mbx 'maildir:n/%d/%n'
check "joe" [ "$(bodies v/a.org/joe)" = "$(bodies n/a.org/joe)" ]
check "sue" [ "$(bodies v/a.org/sue)" = "$(bodies n/a.org/sue)" ]
check "nope" absent n/a.org/nope
verdict e.err >e.verdict
verdict err >i.verdict
check "the same verdict" cmp e.verdict i.verdict

# A user whose directory is closed to the caller fails alone.
maildir closed/ann/Maildir
maildir closed/bob/Maildir
chmod 0 closed/bob
as=()
if [ "$(id -u)" = 0 ]; then
	chmod 755 .
	chmod -R go+rX closed/ann
	chown -R nobody closed
	as=(setpriv --reuid nobody --clear-groups)
fi
if "${as[@]}" "$MBX_BIN/mbxexport" --version >/dev/null 2>&1; then
	run 77 "${as[@]}" "$MBX_BIN/mbxexport" -n -A 'maildir:closed/%u/Maildir'
	says "bob: closed/bob/Maildir: Permission denied"
	says "2 users, 4 mailboxes, 7 messages"
else
	echo "skipped: nobody may not run $MBX_BIN/mbxexport"
fi
chmod 700 closed/bob

# Import: chosen users only; a store of one user takes one.
mbxexport -q -A "$T" >all.mbx
run 0 mbximport -u ann@b.org -i all.mbx 'maildir:one/%n'
check "only ann" [ "$(ls -A one)" = ann ]
says "mbximport: 1 user, 4 mailboxes, 7 messages, "
run 0 mbximport -u ann@b.org -m Sent -n -i all.mbx 'maildir:sent/%n'
says "mbximport: 1 user, 1 mailbox, 1 message, "
run 73 mbximport -A -i all.mbx 'maildir:one/%n'
says "mbximport: 3 users, 12 mailboxes, 21 messages, "
says ", 1 user failed"
rm -rf one/joe one/sue
run 0 mbximport -u '*@a.org' -i all.mbx 'maildir:mask/%n'
check "joe and sue" [ "$(ls -A mask | tr '\n' ' ')" = 'joe sue ' ]
run 66 mbximport -u nope -i all.mbx 'maildir:nope/%n'
check "nothing made" empty nope
run 64 mbximport -i all.mbx maildir:single
check "nothing made" absent single
run 0 mbximport -u sue@a.org -i all.mbx maildir:single
check "sue" [ "$(bodies v/a.org/sue)" = "$(bodies single)" ]

# More users than descriptors: the soft limit is raised; where it cannot be, users are published sooner.
mkdir -p many
for ((i = 100; i < 160; i++)); do folder many/u$i $i 1 a; done
mbxexport -q -A -o many.mbx "maildir:$PWD/many/%u"
(ulimit -Sn 64 && run 0 mbximport --publish end -i many.mbx "maildir:$PWD/end/%u" && exit "$failures") || failures=1
(ulimit -n 64 && run 0 mbximport -i many.mbx "maildir:$PWD/user/%u" && exit "$failures") || failures=1
check "all are there" [ "$(ls end | wc -l) $(ls user | wc -l)" = "60 60" ]
