"""Accounts with a history: many messages, copies, expunges, purges, storage that has moved."""
import glob
import os

import fill
import snapshot
from harness import Base, here

COUNT = 2000
# What a format does not keep, or its reader does not tell.
UNTOLD = {"maildir++": {"savedate"}, "sdbox": {"savedate"}}


def append_many(imap, path, count, seed):
    """MULTIAPPEND (RFC 3502), 250 messages a command."""
    for first in range(0, count, 250):
        tag = imap._new_tag()
        imap.send(tag + b" APPEND " + snapshot.quote(imap.wire(path)).encode())
        for number in range(first, min(first + 250, count)):
            data = fill.gen_mail.ordinary(number, seed, 300).replace(b"\n", b"\r\n")
            imap.send(b" (%s) {%d+}\r\n%s" % (fill.FLAGS[number % 4].encode(), len(data), data))
        imap.send(b"\r\n")
        imap._command_complete("APPEND", tag)


def stored(account):
    """Bytes of the message files, each file once."""
    found = {}
    pattern = "/**/cur/*" if account.store.startswith("maildir") else "/**/[um].*"
    for path in glob.glob(account.home + pattern, recursive=True) + glob.glob(account.home + "/Maildir/.*/cur/*"):
        info = os.stat(path)
        found[info.st_ino] = info.st_size
    return sum(found.values())


class Special(Base):
    def fill_history(self, kind):
        """Thousands of messages, of which some live on as copies only, some twice, some not at all."""
        source = here.account(kind)
        imap = snapshot.Imap(source)
        imap.ok("enable", "CONDSTORE")
        imap.ok("create", "copies")
        append_many(imap, ("INBOX",), COUNT, 3)
        imap.ok("select", '"INBOX"')
        imap.ok("copy", "1:%d" % (COUNT // 2), '"copies"')
        imap.ok("copy", "1:100", '"copies"')
        fill.expunge(imap, ("INBOX",), "%d:%d,%d:*" % (COUNT // 4, COUNT // 2, COUNT - 10))
        if kind.startswith("mdbox"):
            source.server.doveadm("purge", "-u", source.name)
        if ":ALT=" in source.store:
            source.server.doveadm("altmove", "-u", source.name, "mailbox", "copies", "1:50")
        fill.expunge(imap, ("copies",), "1:10,20,30,%d:*" % (COUNT // 2 + 50))
        append_many(imap, ("copies",), 100, 5)
        imap.logout()
        return source, snapshot.take(source)

    def history(self, kind, destinations, grown=1.1):
        """grown: how much more the formats take for the same messages; without sharing it would be twice."""
        source, before = self.fill_history(kind)
        sharing = snapshot.messages(before) - len({m["guid"] for b in before["boxes"].values() for m in b["messages"].values()})
        self.assertGreater(sharing, 500)
        for destination in destinations:
            ignore = set().union(*(UNTOLD.get(name.split("-")[0], ()) for name in (kind, destination)))
            account, _ = self.moved(before, source, destination, ignore)
            # Copies share what is stored, as before; what nobody has is not there.
            self.assertLess(stored(account), stored(source) * grown)

    def test_mdbox(self):
        self.history("mdbox", ("mdbox", "sdbox"))

    def test_mdbox_alt(self):
        self.history("mdbox-alt", ("mdbox-alt",))

    def test_mdbox_small_files(self):
        self.history("mdbox-small", ("mdbox", "mdbox-small"))

    def test_sdbox(self):
        self.history("sdbox", ("sdbox", "mdbox"))

    def test_maildir(self):
        self.history("maildir++", ("mdbox",), 1.4)  # 130 bytes a message of 600
