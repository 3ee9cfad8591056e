"""Damaged index files: what mbxexport gives of the mail, beside what the real Dovecot shows once it has mended them.

It is what the server shows, or what was there before; else a line says what is wrong, and where mail is missing the
exit status says so, too. MBX_TEST_DAMAGE=n damages n times as many places.
"""
import io
import os
import re
import shutil
import subprocess
import tarfile
import urllib.parse

import fill
import moving
import snapshot
from harness import Base, here

MORE = int(os.environ.get("MBX_TEST_DAMAGE", 1))
FLIPS, CUTS = 8 * MORE, 5 * MORE  # of each file
# Where an account of each kind has index files, and what they are called.
PLACES = {
    "sdbox-rotating": [("sdbox/mailboxes/INBOX/dbox-Mails", "dovecot.index")],
    "mdbox-rotating": [("mdbox/mailboxes/INBOX/dbox-Mails", "dovecot.index"), ("mdbox/storage", "dovecot.map.index")],
    "mbox-rotating": [("mail/.imap/INBOX", "dovecot.index")],
}
LETTERS = {"S": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "T": "\\Deleted", "D": "\\Draft"}


def unescape(word):
    return urllib.parse.unquote(word, errors="surrogateescape")


def archived(path):
    """INBOX in an archive: UIDVALIDITY, and {UID: (flags, digest of the body)}."""
    raw = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    found, validity, inside = {}, None, False
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        lines = [line.split("\t") for member in tar if member.name.endswith(".tsv")
                 for line in tar.extractfile(member).read().decode().splitlines()]
    for row in lines:
        if row[0] == "B":
            inside = row[2] == "INBOX"
            validity = int(row[4]) if inside else validity
        elif row[0] in "ML" and inside:
            flags = [LETTERS[letter] for letter in row[8] if letter in LETTERS] + \
                ([unescape(word) for word in row[9].lower().split(",")] if row[9] != "-" else [])
            found[int(row[1])] = (tuple(sorted(flags)), row[4])
    return validity, found


def leave(imap):
    """Ends a session and waits until the server has closed it: what it still had to write is written then."""
    try:
        imap.send(b"bye LOGOUT\r\n")
        while imap.sock.recv(65536):
            pass
    except OSError:
        pass
    imap.shutdown()


def shown(account):
    """The same as the server shows it, once it has mended what it wants to; None if it never shows INBOX."""
    for _ in range(5):
        imap = snapshot.Imap(account)
        try:
            box = snapshot.read_mailbox(imap, ("INBOX",))
            return box["uidvalidity"], {uid: (m["flags"], m["body"]) for uid, m in box["messages"].items()}
        except (RuntimeError, KeyError, AttributeError, OSError, snapshot.Imap.error):
            continue
        finally:
            leave(imap)
    return None


def files(account):
    """The index files there are."""
    for place, prefix in PLACES[account.kind]:
        for suffix in ("", ".log", ".log.2"):
            path = os.path.join(account.home, place, prefix + suffix)
            if os.path.exists(path):
                yield path


def flip(path, offset, bits):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ bits]))


def damages(paths):
    """(what it is, a function that does it) for these files."""
    for path in paths:
        name, size = os.path.basename(path), os.path.getsize(path)
        for n in range(FLIPS):
            offset, bits = (2 * n + 1) * size // (2 * FLIPS), (0xff, 0x01, 0x80, 0x10)[n % 4]
            yield "%s: byte %d ^ %02x" % (name, offset, bits), lambda p=path, o=offset, b=bits: flip(p, o, b)
        for n in range(CUTS):
            length = n * size // CUTS
            yield "%s: %d bytes of %d" % (name, length, size), lambda p=path, o=length: os.truncate(p, o)
        yield name + ": removed", lambda p=path: os.unlink(p)
    yield "all removed", lambda: [os.unlink(p) for p in paths]


class Damage(Base):
    def fill(self, kind):
        """An account with a main index, its log and an older log, all of which count."""
        account = here.account(kind)
        imap = snapshot.Imap(account)
        for number in range(8):
            fill.append(imap, ("INBOX",), fill.gen_mail.ordinary(number, 3), number)
        fill.expunge(imap, ("INBOX",), "2,5")
        for number in range(12):
            imap.ok("store", str(1 + number % 6), "+FLAGS", "(\\Answered kw%d)" % number)
        fill.append(imap, ("INBOX",), fill.gen_mail.ordinary(9, 3), 9)
        imap.logout()
        return account

    def export(self, account):
        """(exit status, lines about INBOX or the account, what is in the archive)"""
        path = "%s/%s.mbx" % (here.work.dir, account.name)
        status, _, text = moving.run(moving.program("mbxexport"), "-u", "joe", "--bad-item-limit", "100", "--force", "-o", path,
                                     moving.store(account, ":TZ=UTC" if account.format == "mbox" else ""))
        self.assertIn(status, (0, 1), text)
        return status, [line for line in text.splitlines() if line.startswith("mbxexport: joe: ")], archived(path)

    @staticmethod
    def judge(before, theirs, status, lines, ours):
        """None, or what is wrong."""
        if ours in (before, theirs):
            return None
        if not lines:
            return "another mailbox than the server's, and not a word"
        missing = {digest for _, digest in before[1].values()} - {digest for _, digest in ours[1].values()}
        return "mail is missing, exit 0: " + "; ".join(lines) if missing and status == 0 else None

    def each(self, account, damages_of):
        """Yields (what it is, what mbxexport gives, what the server shows) for each damage of a copy of the account."""
        whole = account.home + ".whole"
        os.rename(account.home, whole)
        for what, do in damages_of:
            shutil.copytree(whole, account.home, symlinks=True)
            fill.own_tree(account.home)
            do()
            given = self.export(account)
            yield what, given, shown(account)
            shutil.rmtree(account.home)

    def damage(self, kind):
        account = self.fill(kind)
        before = shown(account)
        self.assertLessEqual({"dovecot.index", "dovecot.index.log", "dovecot.index.log.2"},
                             {os.path.basename(path) for path in files(account)})
        self.assertEqual(self.export(account), (0, [], before))
        found = [(what, self.judge(before, theirs, *given))
                 for what, given, theirs in self.each(account, list(damages(list(files(account)))))]
        self.assertFalse([pair for pair in found if pair[1]])

    def test_mbox_file_is_cut(self):
        """Messages that only the index has: another program may have removed them, which is worth a line."""
        account = self.fill("mbox-rotating")
        path = account.home + "/inbox"
        ends = [found.start() for found in re.finditer(rb"^From ", open(path, "rb").read(), re.M)][1:]
        cuts = [("%d bytes" % end, lambda end=end: os.truncate(path, end)) for end in ends]
        for n, (what, (status, lines, ours), theirs) in enumerate(self.each(account, cuts), 1):
            self.assertEqual((ours, len(ours[1]), status), (theirs, n, 0), what)
            self.assertIn(" %d messages that the index has are not in the file" % (len(ends) + 1 - n), "\n".join(lines))


for of in PLACES:
    setattr(Damage, "test_" + of.split("-")[0].strip("+"), lambda self, kind=of: self.damage(kind))
