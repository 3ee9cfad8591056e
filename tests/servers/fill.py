"""Fills accounts: over IMAP as a client does, by delivery into new/ as a mail server does, and as a migration does."""
import base64
import os
import sys

from servers import TOP, Work
from snapshot import Imap, quote

sys.path.insert(0, os.path.join(TOP, "tests"))
sys.dont_write_bytecode = True
import gen_mail  # noqa: E402

# Folder names that have broken other movers. No "." in a level: it separates levels in Maildir++.
FOLDERS = [
    ("Sent",), ("Trash",), ("Drafts",), ("Entwürfe",), ("Gesendete Objekte",), ("a&b",), ("台北",), ("emoji 🐌",),
    ('quo"te',), ("it's",), ("back`tick",), ("UPPER",), ("upper",), ("new year",), ("percent%20",), ("semi;colon",), ("colon:name",),
    ("Archive",), ("Archive", "2019"), ("Archive", "2019", "Q1"), ("Archive", "2020"), ("Only", "Child"),
    ("deep",) + tuple("level%d" % i for i in range(12)), ("x" * 100,), ("Tab-free  two spaces",), ("#hash",), ("-dash",),
    ("$dollar",), ("(paren)",), ("[bracket]",), ("{brace}",), ("comma,name",), ("equal=sign",), ("plus+",), ("am&-p",),
    ("cafe\u0301",), ("café",), ("ümlaut", "kïnd"),
]
# Names that only some layouts hold: a server refuses those that it cannot.
FOLDERS_SOME = [("dot.ted",), ("dots", "a.b.c"), ("cur",), ("box", "tmp"), ("dbox-Mails",), (".hidden",), ("~tilde",),
                ("back\\slash", "c.d")]
DATES = ["01-Jan-1970 00:00:01 +0000", "31-Dec-1979 23:59:59 -0800", "29-Feb-2000 12:00:00 +0530", "09-Sep-2001 01:46:40 +0000",
         "28-Mar-2010 02:30:00 +0100", "31-Oct-2010 02:30:00 +0100", "30-Jun-2015 23:59:59 +0000", "01-Jan-2020 00:00:00 +1400",
         "19-Jan-2037 03:14:07 -1200", "31-Dec-2037 23:59:59 +0000"]
FLAGS = ["", "\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "\\Seen \\Answered", "\\Seen \\Flagged \\Draft",
         "\\Seen \\Answered \\Flagged \\Deleted \\Draft"]
KEYWORDS = ["$Forwarded", "$MDNSent", "$Junk", "NonJunk", "$label1", "Project-X", "a.b", "x:y", "UPPERcase", "$Phishing"] + \
    ["kw%02d" % i for i in range(30)]
MAILDIR_KEYWORDS = 26  # those that have a letter in file names


def deliver(account, path_on_disk, data, number, date=None):
    """As a delivery agent does: tmp/, then new/."""
    name = "%d.M%dP%d.deliver" % (date or 1200000000 + number, number, os.getpid())
    for sub in ("cur", "new", "tmp"):
        if not os.path.isdir(os.path.join(path_on_disk, sub)):
            os.makedirs(os.path.join(path_on_disk, sub), 0o700)
    os_tmp, os_new = (os.path.join(path_on_disk, sub, name) for sub in ("tmp", "new"))
    gen_mail.write(os_tmp, data, date or 1200000000 + number)
    Work.own(os_tmp)
    os.rename(os_tmp, os_new)


def own_tree(path):
    Work.own(path)
    for root, dirs, files in os.walk(path):
        for name in dirs + files:
            Work.own(os.path.join(root, name))


def corpus_messages(folder, big):
    """Message files below an unpacked corpus folder, else generated ones: yields (label, bytes)."""
    if folder is None:
        yield from gen_mail.nasty(big)
        for i in range(300):
            yield "ordinary-%d" % i, gen_mail.ordinary(i)
        return
    for root, dirs, files in os.walk(folder):
        dirs.sort()
        for name in sorted(files):
            path = os.path.join(root, name)
            # Archives of other stores are no mail: a reader takes what is compressed as compressed mail.
            if os.path.isfile(path) and not os.path.islink(path) and not name.endswith(".tar.gz"):
                with open(path, "rb") as f:
                    yield os.path.relpath(path, folder), f.read()


def try_create(imap, path):
    status, _ = imap.create(quote(imap.wire(path)))
    return status == "OK"


def append(imap, path, data, number):
    """APPEND with flags, keywords and a date chosen by number."""
    flags = FLAGS[number % len(FLAGS)].split()
    if number % 3 == 0:
        flags += KEYWORDS[number % MAILDIR_KEYWORDS:MAILDIR_KEYWORDS][:1 + number % 4]
    date = '"%s"' % DATES[number % len(DATES)]
    imap.ok("append", quote(imap.wire(path)), "(%s)" % " ".join(flags), date, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def over_imap(account, per_folder=6, keywords=MAILDIR_KEYWORDS):
    """Folders, mail, flags, keywords, dates, gaps, copies, subscriptions, ACL, METADATA. Returns the folders made."""
    imap = Imap(account)
    if "CONDSTORE" in imap.capabilities:
        imap.ok("enable", "CONDSTORE")
    made = make_folders(imap)
    number = 0
    for path in made:
        for _ in range(per_folder if path != ("INBOX",) else per_folder * 8):
            append(imap, path, gen_mail.ordinary(number, 3), number)
            number += 1
    set_keywords(imap, made[1], per_folder, keywords)
    leave_gaps(imap, made, per_folder)
    copy_and_move(imap, made)
    subscribe(imap, made[1:8] + [("INBOX",)])
    set_acl(imap, made)
    set_metadata(imap, made)
    imap.logout()
    return made


def make_folders(imap):
    made = [("INBOX",)]
    for path in FOLDERS + ([] if imap.account.is_courier else FOLDERS_SOME):
        if try_create(imap, path):
            made.append(path)
    if ("INBOX", "below") not in made and try_create(imap, ("INBOX", "below")):
        made.append(("INBOX", "below"))
    return made


def set_keywords(imap, path, messages, count):
    """Many keywords in one folder, each on one of its messages."""
    imap.ok("select", quote(imap.wire(path)))
    for n, keyword in enumerate(KEYWORDS[:count]):
        imap.ok("store", str(1 + n % messages), "+FLAGS", "(%s)" % keyword)
    imap.ok("store", "1", "-FLAGS", "(%s)" % KEYWORDS[0])


def expunge(imap, path, messages):
    imap.ok("select", quote(imap.wire(path)))
    imap.ok("store", messages, "+FLAGS", "(\\Deleted)")
    imap.ok("expunge")


def leave_gaps(imap, made, per_folder):
    """Gaps at the start, in the middle, at the end (so that UIDNEXT is beyond the last UID), and an emptied folder."""
    for path, gone in ((("INBOX",), "1,4:6,9,%d" % (per_folder * 8)), (made[2], "1:2"), (made[3], "%d" % per_folder),
                       (made[4], "1:*")):
        expunge(imap, path, gone)


def copy_and_move(imap, made):
    """Copies share their file with the original, twice in one folder and across folders."""
    imap.ok("select", '"INBOX"')
    imap.ok("copy", "1:5", quote(imap.wire(made[5])))
    imap.ok("copy", "2:3", quote(imap.wire(made[5])))
    imap.ok("copy", "2:4", quote(imap.wire(made[6])))
    imap.ok("store", "1", "+FLAGS", "(\\Flagged)")
    if "MOVE" in imap.capabilities:
        imap.ok("move", "7:8", quote(imap.wire(made[7])))


def subscribe(imap, paths):
    for path in paths:
        imap.ok("subscribe", quote(imap.wire(path)))
    gone = ("was", "here")  # a subscription outlives its folder
    imap.ok("create", quote(imap.wire(gone)))
    imap.ok("subscribe", quote(imap.wire(gone)))
    imap.ok("delete", quote(imap.wire(gone)))


def set_acl(imap, made):
    if not (imap.account.is_courier or "ACL" in imap.capabilities):
        return
    for path, who, rights in ((made[1], "bob", "lr"), (made[1], "carla", "lrswit"), (made[2], "anyone", "lr"),
                              (("INBOX",), "bob", "lrs"), (made[4], "-eve", "r")):
        imap.ok("setacl", quote(imap.wire(path)), quote(who), rights)


def set_metadata(imap, made):
    if "METADATA" not in imap.capabilities:
        return
    for path, entry, value in (
            (made[1], "/private/comment", "my \\\\ comment"), (made[1], "/shared/comment", "gemeinsam"),
            (("INBOX",), "/private/vendor/vendor.test/colour", "#ff0000"), (made[2], "/private/comment", "x" * 2000)):
        status, data = imap._simple_command("SETMETADATA", quote(imap.wire(path)), '(%s "%s")' % (entry, value))
        if status != "OK":
            raise RuntimeError("SETMETADATA: %r" % data)
    status, data = imap._simple_command("SETMETADATA", '""', '(/private/vendor/vendor.test/x "server wide")')
    if status != "OK":
        raise RuntimeError("SETMETADATA of the account: %r" % data)


def dated(account):
    """Delivered mail with dates that a server would not take from a client (Dovecot: none in the future)."""
    for number, seconds in enumerate((1, 86399, 951782400, 2114380800, 2145916799)):
        deliver(account, account.maildir, gen_mail.ordinary(number, 7), 500 + number, seconds)


def make_migrated(path, count=20):
    """A Maildir as a migration leaves it: POP3 UIDLs and order of another server, its UIDs, dates of all times."""
    lines = []
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(path, sub), 0o700)
    for n in range(count):
        date = (1, 86399, 951782400, 2114380800, 2145916799)[n % 5] if n < 10 else 1100000000 + n
        name = "%d.M%dP1.other" % (1100000000 + n, n)
        gen_mail.write(os.path.join(path, "cur", name + ":2," + ("", "S", "FS")[n % 3]), gen_mail.ordinary(n, 7), date)
        uidl = "" if n % 5 == 4 else " P%08x-%d" % (n * 7919, count - n)
        order = " O%d" % (count - n) if n % 4 < 2 else ""
        lines.append("%d%s%s :%s\n" % (3 + 2 * n, uidl, order, name))
    with open(path + "/dovecot-uidlist", "w") as f:
        f.write("3 V1234567890 N%d G%s\n" % (5 + 2 * count, gen_mail.guid(path)))
        f.writelines(lines)
    own_tree(path)


def append_attached(imap, path):
    """Mail with an attachment that a server may keep outside, twice, and one whose lines no decoder gives back."""
    binary = bytes(range(256)) * 20
    lines = base64.encodebytes(binary)
    odd = b"".join(line + (b" \n" if n % 7 == 3 else b"\n") for n, line in enumerate(lines.split(b"\n")[:-1]))
    for encoded in (lines, lines, odd):
        imap.ok("append", quote(imap.wire(path)), None, None, (
            b"Subject: attached\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
            b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
            b"Content-Disposition: attachment; filename=a.bin\n\n%s\n--b--\n" % encoded).replace(b"\n", b"\r\n"))


def whole(account, migrated=None, per_folder=6):
    """Everything that an account of this kind of server can hold; migrated: a Maildir whose mail is taken over first."""
    if account.is_courier:
        account.server.make_maildir(account)
        over_imap(account, per_folder)
        dated(account)
        settle(account)
        return
    if migrated is not None:
        account.server.doveadm("backup", "-R", "-u", account.name, "maildir:" + migrated)
    made = over_imap(account, per_folder, len(KEYWORDS))
    imap = Imap(account)
    append_attached(imap, made[10])
    if ":ALT=" in account.store:
        account.server.doveadm("altmove", "-u", account.name, "seen")
    if account.format == "mdbox":
        account.server.doveadm("purge", "-u", account.name)
        expunge(imap, made[8], "2:3")  # this stays unpurged
    expunge(imap, made[9], "3")
    for n, path in enumerate(made[1:4]):  # nobody has looked there since
        append(imap, path, gen_mail.ordinary(n, 9), n)
    imap.logout()


def settle(account):
    """Opens every folder read-write once, so that a server has taken in what was delivered."""
    imap = Imap(account)
    for path, flags in imap.list_paths().items():
        if "\\noselect" not in {f.lower() for f in flags}:
            imap.ok("select", quote(imap.wire(path)))
            imap.ok("noop")
    imap.logout()
