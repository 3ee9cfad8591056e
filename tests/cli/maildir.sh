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
