# Where an archive goes: -o and what can be wrong with it.
. "$MBX_TOP/tests/cli/lib.sh"
maildir M
big B 30

(umask 000 && mbxexport -u joe -o a.mbx maildir:M 2>err)
code $? 0 "-o"
check "mode 0600" [ "$(stat -c %a a.mbx)" = 600 ]
run 0 mbximport -n -i a.mbx maildir:D
sum=$(sha256sum <a.mbx)
run 73 mbxexport -u joe -o a.mbx maildir:B
says "a.mbx exists"
check "unchanged" [ "$sum" = "$(sha256sum <a.mbx)" ]
run 0 mbxexport --force -u joe -o a.mbx maildir:B
check "overwritten" [ "$sum" != "$(sha256sum <a.mbx)" ]

run 73 mbxexport -u joe -o none/a.mbx maildir:M
run 73 mbxexport -u joe -o M maildir:M
run 73 mbxexport -u joe -o /dev/full maildir:B
says "No space left"
run 73 bash -c 'mbxexport -u joe maildir:B >/dev/full'
run 0 mbxexport -u joe -o /dev/null maildir:B
check "a device stays one" [ -c /dev/null ]

mkfifo pipe
cat pipe >from-pipe &
run 0 mbxexport -u joe -o pipe maildir:M
wait $!
run 0 mbximport -n -i from-pipe maildir:D

# A failed run leaves neither the file nor its temporary.
mkdir d
run 66 mbxexport -u nobody-here -o d/x.mbx 'maildir:%u'
check "nothing left" empty d
run 64 mbxexport -o d/x.mbx 'maildir:%u'
check "nothing left" empty d
(ulimit -f 200 && trap '' XFSZ && exec mbxexport -u joe -o d/x.mbx maildir:B) >out 2>err
code $? 73 "file size limit"
check "nothing left" empty d

# One user of two fails: the file is there for the other.
mkdir -p many && cp -a M many/joe
run 66 mbxexport -u joe -u zoe -o d/two.mbx 'maildir:many/%u'
check "the other user's archive" [ -s d/two.mbx ]
says "zoe"
run 66 mbximport -i d/two.mbx 'maildir:new/%u'
check "joe is there" [ "$(bodies many/joe)" = "$(bodies new/joe)" ]
check "zoe is not" absent new/zoe
