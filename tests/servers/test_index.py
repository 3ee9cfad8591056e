"""Dovecot's index files: what they say to us is what they say to Dovecot, and the other way round."""
import os
import random
import subprocess

from harness import Base, here
from moving import for_owner
from servers import drop
from snapshot import Imap

TOOL = os.path.join(os.path.dirname(os.path.abspath(os.environ.get("MBX_BIN", "build/release/bin"))), "tests/tools/dindex")
# Where INBOX has its index, and which extensions it has: NAME:SIZE:ALIGN of their records.
PLACES = {
    "maildir++": ("Maildir", []),
    "sdbox": ("sdbox/mailboxes/INBOX/dbox-Mails", ["dbox-hdr:0:0", "hdr-pop3-uidl:0:0"]),
    "mdbox": ("mdbox/mailboxes/INBOX/dbox-Mails", ["mdbox-hdr:0:0", "mdbox:8:4", "guid:16:1", "hdr-pop3-uidl:0:0"]),
    "mbox": ("mail/.imap/INBOX", ["mbox:8:8", "header-md5:16:1"]),
}
MAP = ("mdbox/storage", "dovecot.map.index", ["map:12:4", "ref:2:2"])
SYSTEM = {"\\Answered": 1, "\\Flagged": 2, "\\Deleted": 4, "\\Seen": 8, "\\Draft": 16}
STEPS = 60


def message(n):
    return b"From: a@example.org\r\nSubject: m%d\r\nMessage-ID: <%d@example.org>\r\n\r\nbody %d\r\n" % (n, n, n)


def uids(imap, how_many):
    """Some UIDs of the mailbox, as a range and one more."""
    found = [u.decode() for u in imap.ok("uid", "search", "ALL")[0].split()] or ["1"]
    return ",".join([random.choice(found) + ":" + random.choice(found), random.choice(found)][:how_many])


def step(imap, n):
    """One change of the mailbox, of any kind."""
    keyword = random.choice(["kw%d", "Kw%d"]) % random.randrange(50)
    what = random.randrange(10)
    if what < 3:
        flags = random.choice(["", "\\Seen", "\\Flagged " + keyword, "\\Deleted", "\\Draft $Forwarded"])
        for k in range(random.randrange(1, 6)):
            imap.ok("append", "INBOX", "(%s)" % flags, None, message(n * 10 + k))
    elif what < 5:
        imap.ok("uid", "store", uids(imap, 1), random.choice(["+FLAGS", "-FLAGS"]), "(\\Seen \\Answered)")
    elif what < 8:
        imap.ok("uid", "store", uids(imap, 2), random.choice(["+FLAGS", "+FLAGS", "-FLAGS", "FLAGS"]), "(%s)" % keyword)
    elif what == 8:
        imap.ok("uid", "store", uids(imap, 2), "+FLAGS", "(\\Deleted)")
        if len(imap.ok("search", None, "DELETED")[0].split()) < 6:
            imap.ok("expunge")
    else:
        imap.ok("uid", "copy", uids(imap, 1), "INBOX")
    imap.ok("noop")


def server_view(account):
    """(UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ) and each message as Dovecot shows it."""
    doveadm = account.server.doveadm
    status = doveadm("-f", "tab", "mailbox", "status", "-u", account.name, "uidvalidity uidnext highestmodseq", "INBOX")
    names, values = (line.split("\t") for line in status.splitlines())
    box = dict(zip(names, values))
    messages = []
    for line in doveadm("-f", "tab", "fetch", "-u", account.name, "uid flags modseq", "mailbox", "INBOX").splitlines()[1:]:
        uid, flags, modseq = line.split("\t")
        words = [w for w in flags.split() if w != "\\Recent"]
        messages.append((int(uid), sum(SYSTEM.get(w, 0) for w in words), int(modseq),
                         sorted(w for w in words if w not in SYSTEM)))
    return (box["uidvalidity"], box["uidnext"], box["highestmodseq"]), messages


def tool(command, account, place, prefix="dovecot.index", exts=()):
    done = subprocess.run([for_owner(here.work, TOOL), command, os.path.join(account.home, place), prefix, *exts],
                          capture_output=True, text=True, **drop())
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def our_view(account):
    box, messages = None, []
    for line in tool("print", account, PLACES[account.format][0]).splitlines():
        kind, *words = line.split(" ")
        if kind == "box":
            box = (words[0], words[1], words[3])
        elif kind == "msg":
            keywords = [] if words[3] == "-" else words[3].split(",")
            messages.append((int(words[0]), int(words[1], 16) & 0x1f, int(words[2]), sorted(keywords)))
        else:
            raise RuntimeError(line)
    return box, messages


class Index(Base):
    def changed(self, kind):
        """An account whose INBOX has seen all kinds of changes."""
        account = here.account(kind)
        random.seed(kind)
        imap = Imap(account)
        imap.ok("select", "INBOX")
        for n in range(STEPS):
            step(imap, n)
            if n % 20 == 19:
                self.assertEqual(our_view(account)[1], server_view(account)[1])
            if n == STEPS // 2:
                imap.ok("fetch", "1", "(MODSEQ)")
        imap.logout()
        return account

    def read_and_rewrite(self, kind):
        account = self.changed(kind)
        before = server_view(account)
        self.assertEqual(our_view(account), before)
        directory, exts = PLACES[account.format]
        places = [(directory, "dovecot.index", exts)] + ([MAP] if account.format == "mdbox" else [])
        for place, prefix, of in places:
            tool("rewrite", account, place, prefix, of)
            for name in os.listdir(os.path.join(account.home, place)):
                if name.startswith(prefix) and name not in (prefix, prefix + ".log"):
                    os.unlink(os.path.join(account.home, place, name))
        self.mark_logs()
        self.assertEqual(server_view(account), before)
        imap = Imap(account)
        imap.ok("select", "INBOX")
        for n in range(STEPS, STEPS + 10):
            step(imap, n)
        imap.logout()
        self.assertEqual(our_view(account), server_view(account))
        self.no_complaints()

    def test_rotated_logs_are_there(self):
        account = self.changed("sdbox-rotating")
        self.assertIn("dovecot.index.log.2", os.listdir(os.path.join(account.home, PLACES["sdbox"][0])))


for of in PLACES:
    for variant in ("", "-rotating"):
        setattr(Index, "test_%s%s" % (of.strip("+"), variant.replace("-", "_")),
                lambda self, kind=of + variant: self.read_and_rewrite(kind))
