"""Stores with keys and settings of all kinds: each way in, each way out, and nothing is lost."""
import glob

import fill
import snapshot
from harness import Use, here

# What shows that a source is what it says: files, and bytes that one of them has.
PROOF = {
    "sdbox-index": ("index/mailboxes/INBOX/dovecot.index.log", b""),
    "sdbox-control": ("control/subscriptions", b"Entw\xc3\xbcrfe"),
    "sdbox-dirname": ("sdbox/mailboxes/Archive/2019/mBoX/u.1", b""),
    "sdbox-alt": ("alt/mailboxes/INBOX/dbox-Mails/u.*", b""),
    "sdbox-gz": ("sdbox/mailboxes/INBOX/dbox-Mails/u.*", b"\n\x1f\x8b"),
    "sdbox-lz4": ("sdbox/mailboxes/INBOX/dbox-Mails/u.*", b"\nDovecot-LZ4"),
    "sdbox-attached": ("attached/*/*/*-*", b"\x07\x08"),
    "sdbox-list": ("sdbox/dovecot.list.index*", b"Archive"),
    "mdbox-list": ("mdbox/dovecot.list.index*", b"Archive"),
    "fs-fulldirname": ("control/Archive/2019/mBoX/dovecot-uidlist", b":"),
    "sdbox-fulldirname": ("index/mailboxes/Archive/2019/mBoX/dovecot.index.log", b""),
    "mdbox-fulldirname": ("index/mailboxes/Archive/2019/mBoX/dovecot.index.log", b""),
    "mbox-boxes": ("mail/boxes/.imap/INBOX/dovecot-acl", b"bob"),
    "mbox-list-boxes": ("mail/boxes/.imap/*/dovecot-acl", b"bob"),
    "mbox-plus": ("mail/.Archive.2019", b"From "),
    "mbox-plus-inbox": (".imap/inbox/dovecot-acl", b"bob"),
    "mbox-plus-apart": ("index/.imap/.INBOX/dovecot.index.log", b""),
    "mbox-list": ("mail/.imap/dovecot.list.index*", b"Archive"),
    "mbox-list-apart": ("index/names/.imap/list*", b"Archive"),
    "mbox-control": ("control/.subscriptions", b"Drafts"),
    "mbox-dirname": ("mail/Archive/2019/mBoX", b"From "),
    "mbox-fulldirname": ("index/Archive/2019/mBoX/dovecot.index.log", b""),
    "fs-iterindex": ("index/Archive/2019/dovecot.index.log", b""),
    "maildir++-iterindex": ("index/.Archive.2019/dovecot.index.log", b""),
    "sdbox-iterindex": ("index/mailboxes/Archive/2019/dovecot.index.log", b""),
    "fs-boxes": ("control/boxes/INBOX/dovecot-uidlist", b":"),
    "fs-boxes-dirname": ("Maildir/boxes/INBOX/mBoX/dovecot-acl", b"bob"),
    "fs-list-boxes": ("Maildir/boxes/*/dovecot-acl", b"bob"),
    "fs-list": ("Maildir/dovecot.list.index*", b"Archive"),
    "fs-list-apart": ("index/names*", b"Archive"),
    "mdbox-index": ("index/storage/dovecot.map.index.log", b""),
    "mdbox-alt": ("alt/storage/m.*", b""),
    "mdbox-small": ("mdbox/storage/m.1??", b""),
    "mdbox-zstd": ("mdbox/storage/m.*", b"\n\x28\xb5\x2f\xfd"),
    "mdbox-bz2": ("mdbox/storage/m.*", b"\nBZh"),
    "mbox-index": ("index/.imap/INBOX/dovecot.index.log", b""),
    "mbox-escape": ("mail/back\\5cslash/*", b"From "),
    "mdbox-attached": ("attached/*/*/*-*", b"\x07\x08"),
}


class Variants(Use):
    def vary(self, kind):
        unlike = set() if kind.startswith("mdbox") else {"savedate"}
        source = here.account(kind)
        fill.whole(source, here.migrated(), per_folder=3)
        found = glob.glob("%s/%s" % (source.home, PROOF[kind][0]))
        self.assertTrue(any(PROOF[kind][1] in open(path, "rb").read() for path in found), PROOF[kind])
        before = snapshot.take(source)
        if ("was", "here") in before["boxes"]:  # with ITERINDEX a Maildir's index outlives it, and is listed
            for seen in before["folders"], before["boxes"]:
                for path in ("was",), ("was", "here"):
                    seen.pop(path, None)
        for destination in (kind, source.format):
            account, after = self.moved(before, source, destination, unlike)
            if destination == kind:
                self.use(account, after)
                self.no_complaints()


for name in PROOF:
    setattr(Variants, "test_" + name, lambda self, name=name: self.vary(name))
