"""Mail that mail_crypt has encrypted: refused with its number and keys, or carried for a server that has these."""
import copy
import glob
import os
import re

import fill
import moving
import snapshot
from harness import Use, here

MAGIC = b"CRYPTED\x03\x07"
BOXES = (("INBOX",), ("Sent",), ("Archive", "2020"))
NUMBERS = [n for n in range(18) if "Deleted" not in fill.FLAGS[n % len(fill.FLAGS)]][:12]  # of what is appended
FILES = {"maildir++": "Maildir/**/cur/*", "sdbox": "sdbox/**/u.*", "mdbox": "mdbox/storage/m.*"}


def large(number):
    """A message that no segment of an archive holds."""
    return fill.gen_mail.ordinary(number, 3) + b"".join(b"%064d\n" % n for n in range(140000))


def stored(account):
    """How many encrypted messages lie in the store, and how many there are in all."""
    paths = [p for p in glob.glob(os.path.join(account.home, FILES[account.format]), recursive=True) if os.path.isfile(p)]
    data = [open(p, "rb").read() for p in paths]
    if account.format == "mdbox":
        return sum(d.count(b"\n" + MAGIC) for d in data), sum(len(re.findall(rb"\x01\x02N ", d)) for d in data)
    return sum(MAGIC in d[:128] for d in data), len(data)


class Crypt(Use):
    def filled(self, kind):
        """An account with mail of before and after encryption was set up, copies of both, and what a client sees."""
        account = here.account(kind)
        plain = copy.copy(account)
        plain.name += "-plain"
        imap = snapshot.Imap(plain)
        for path in BOXES[1:]:
            imap.ok("create", snapshot.quote(imap.wire(path)))
        for path in BOXES:
            for n in NUMBERS:
                fill.append(imap, path, fill.gen_mail.ordinary(n, 3), n)
        imap.logout()
        imap = snapshot.Imap(account)
        for path in BOXES:
            for n in NUMBERS:
                fill.append(imap, path, fill.gen_mail.ordinary(n, 5), n)
        fill.append(imap, BOXES[1], large(1), 1)
        imap.ok("select", '"INBOX"')
        imap.ok("copy", "1:3,%d:%d" % (len(NUMBERS) + 1, len(NUMBERS) + 3), snapshot.quote(imap.wire(BOXES[1])))
        fill.expunge(imap, BOXES[0], "2,%d" % (len(NUMBERS) + 4))
        imap.logout()
        if account.format == "mdbox":
            account.server.doveadm("purge", "-u", account.name)
        return account, snapshot.take(account)

    def refused(self, account):
        """Without ENCRYPTED=keep nothing of the user is given; the number of messages, and the keys, are told."""
        archive = "%s/%s.mbx" % (here.work.dir, account.name)
        plain = moving.store(account, reading=False)
        text = moving.export(plain, archive, want=77)
        found = re.search(r"(\d+) messages are encrypted by mail_crypt, for the keys((?: [0-9a-f]{64})+); ENCRYPTED=keep", text)
        self.assertTrue(found, text)
        # Three boxes, a large message, three copies (keys of a folder: it encrypts what it gets), one that was expunged.
        copies = 6 if account.kind.endswith("-keys") else 3
        self.assertEqual(int(found[1]), len(BOXES) * len(NUMBERS) + 1 + copies - 1)
        self.assertFalse(os.path.exists(archive))
        return found[2].split()

    def to(self, kind, source, before, unlike):
        """Moves the mail, to be served with the same keys."""
        held = stored(source)
        self.assertTrue(0 < held[0] < held[1], held)
        account, after = self.moved(before, source, kind, unlike)
        if account.format == source.format:
            self.assertEqual(stored(account), held)
        self.assertTrue(0 < stored(account)[0] < stored(account)[1])
        self.use(account, after)
        self.no_complaints()
        return account, after

    def global_keys(self, kind):
        source, before = self.filled(kind)
        self.assertEqual(self.refused(source), [source.server.key_id])
        for destination in ("mdbox-crypt", "sdbox-crypt", "maildir++-crypt"):
            unlike = set() if kind == destination == "mdbox-crypt" else {"savedate"}
            self.to(destination, source, before, unlike)
        for destination in (here.account("mbox"), here.account("courier")):
            status = moving.pipe([moving.program("mbxexport"), "-u", "joe", moving.store(source)],
                                 [moving.program("mbximport"), moving.store(destination, reading=False)])
            self.assertEqual(status[1], 73, status)
            self.assertIn("is encrypted by mail_crypt", status[3])

    def user_keys(self, kind):
        """Keys of the user and of each folder are in METADATA, and go along."""
        source, before = self.filled(kind)
        self.assertGreaterEqual(len(self.refused(source)), 1)
        self.to(kind, source, before, set() if kind == "mdbox-keys" else {"savedate"})


for name in FILES:
    setattr(Crypt, "test_" + name.strip("+"), lambda self, name=name: self.global_keys(name + "-crypt"))
    setattr(Crypt, "test_%s_keys" % name.strip("+"), lambda self, name=name: self.user_keys(name + "-keys"))
