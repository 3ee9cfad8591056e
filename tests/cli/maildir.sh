# What the readers of Maildir say.
. "$MBX_TOP/tests/cli/lib.sh"

# lines TEXT: how often the last run said it
lines() { grep -cF -- "$1" err; }

# A body whose size is not the one expected is opened again, and the message said once.
folder W 1111 9 a
head -c 100000 /dev/zero >'W/cur/1.a,S=9999999999:2,'
head -c 9000000 /dev/zero >'W/cur/2.a,S=0:2,'
run 0 mbxexport -v -o w.mbx maildir:W
check "each once" [ "$(lines 'its name says S=')" = 2 ]

# The home that ~ names has the Sieve scripts and METADATA, wherever the Maildir lies in it.
folder h/joe/vm/inbox 1111 9 a
mkdir h/joe/sieve
echo 'keep;' >h/joe/sieve/a.sieve
ln -s sieve/a.sieve h/joe/.dovecot.sieve
printf 'priv/%s/comment\nmine\n' aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa >h/joe/dovecot-attributes
run 0 mbxexport -u joe --home 'h/%u' -o h.mbx 'maildir:~/vm/inbox'
mkdir -p new/joe
run 0 mbximport --home 'new/%u' -i h.mbx 'maildir:~/vm/inbox'
check "script" [ "$(cat new/joe/.dovecot.sieve)" = 'keep;' ]
check "METADATA" cmp h/joe/dovecot-attributes new/joe/dovecot-attributes
run 0 mbxverify --home 'new/%u' h.mbx 'maildir:~/vm/inbox'

# An unreadable message is said once, with its file.
folder U 1111 9 a
deliver U 1 1700000001.M1P1.host ''
ln -s /etc/passwd U/cur/2.a:2,S
run 1 mbxexport --bad-item-limit 1 -o u.mbx maildir:U
check "in an export" [ "$(lines 'uid 9: cur/2.a:2,S is a symbolic link')" = 1 ]
run 1 mbxexport --bad-item-limit 1 -n maildir:U
check "in a dry run" [ "$(lines 'uid 9: cur/2.a:2,S is a symbolic link')" = 1 ]
check "and no more" [ "$(lines 'symbolic link')" = 1 ]
