"""Every reader with every writer: what a client sees differs in exactly what the loss report says, and in nothing else."""
import fill
import moving
import snapshot
from harness import Use, here
from names import snapshot_in

KINDS = {"maildir++": "maildir", "fs": "maildir", "courier": "courier", "sdbox": "sdbox", "mdbox": "mdbox", "mbox": "mbox"}

# What each reader tells that some writer cannot hold, and what each writer holds of it: names as in a loss report.
DOVECOT = {"guid", "mailbox-guid", "acl", "mailbox-metadata", "metadata", "sharing", "uidl", "order", "modseq", "recent"}
TELLS = {
    "maildir": DOVECOT,
    "courier": {"acl", "uidl", "order"},
    "sdbox": DOVECOT,
    "mdbox": DOVECOT | {"savedate"},
    "mbox": DOVECOT - {"guid", "sharing", "uidl", "order"},
}
HOLDS = {kind: tells for kind, tells in TELLS.items() if kind != "courier"}
HOLDS["courier"] = {"acl", "sharing", "uidl"}
# What a client sees of each field; the other fields of TELLS it does not see.
SEEN = {
    "guid": {"guid"}, "mailbox-guid": {"box_guid"}, "modseq": {"modseq", "highestmodseq"}, "savedate": {"savedate"},
    "recent": {"recent"}, "mailbox-metadata": {"metadata"}, "metadata": {"metadata"},
    "uidl": {"uidl", "pop3-uidl"}, "order": {"uidl_order", "pop3-uidl", "pop3-size"},
    "noselect": {"noselect"},
}
# What a destination holds of a field only in part, if the source has such values.
PARTLY = {
    "courier": {"uidl": {"maildir++", "fs", "sdbox", "mdbox"}, "noselect": {"fs", "sdbox", "mdbox", "mbox"}},
    "maildir++": {"noselect": {"fs", "sdbox", "mdbox", "mbox"}},
}
# What a kind of server does not show at all, so that its loss cannot be seen.
HIDDEN = {"courier": {"guid", "mailbox-guid", "mailbox-metadata", "metadata", "modseq", "savedate"}}
# What two kinds of servers show in their own way: rights have other letters, the roles of mailboxes are settings.
SERVERS = {"acl", "special-use"}
# What mbxverify sees of a loss, too.
VERIFIED = {"order"}


def pairs():
    """(source kind, destination kinds) of what the programs can do."""
    readers, writers = moving.drivers("mbxexport"), moving.drivers("mbximport")
    for source, driver in KINDS.items():
        if driver in readers:
            yield source, [kind for kind in KINDS if KINDS[kind] in writers]


class Row(Use):
    """One account of one kind, moved to all kinds."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.source = here.account(cls.kind)
        fill.whole(cls.source, here.migrated())
        cls.before = snapshot.take(cls.source)

    def losses(self, kind, expected):
        """What is lost on the way to a kind of store."""
        lost = set() if kind == self.kind else TELLS[KINDS[self.kind]] - HOLDS[KINDS[kind]]
        lost |= {field for field, sources in PARTLY.get(kind, {}).items() if self.kind in sources}
        if set(expected["folders"]) != set(self.before["folders"]):
            lost.add("name-mapped")
        return lost

    def move_to(self, kind):
        expected = snapshot_in(kind, self.before)
        lost = self.losses(kind, expected)
        account = self.import_to(kind, lost)
        self.mark_logs()
        after = snapshot.take(account)
        # What a client may see differ: what is lost, and what the reader never told.
        told = TELLS[KINDS[self.kind]] | {"noselect"}
        unlike = set().union(*(seen for field, seen in SEEN.items() if field in lost or field not in told))
        if (self.kind == "courier") != (kind == "courier"):
            unlike |= SERVERS
        self.same(expected, after, unlike)
        for field in lost & set(SEEN) - HIDDEN.get(kind, set()):
            others = set(snapshot.FIELDS) - {"folders", "pop3"} - SEEN[field]
            self.assertTrue(snapshot.diff(expected, after, others), field)
        self.no_complaints()
        # And again: what the server made of its first look has to be the same at the second.
        self.same(after, snapshot.take(account))
        self.owned(account)
        self.use(account, after)
        self.no_complaints()

    def import_to(self, kind, lost):
        """Moves the account; the loss report names exactly the given losses, and mbxverify finds no others."""
        account = here.account(kind)
        report = "%s/%s.json" % (here.work.dir, account.name)
        moving.move(self.source, account, import_options=("--report", report))
        found = moving.losses(report)
        self.assertEqual(set(found), lost, found)
        moving.verify(self.source, account, ignore=lost & VERIFIED)
        return account


def add_rows(module):
    """A class for each source, a test for each destination."""
    for source, kinds in pairs():
        row = type("From_" + source, (Row,), {"kind": source, "__module__": __name__})
        for kind in kinds:
            setattr(row, "test_to_" + kind, lambda self, kind=kind: self.move_to(kind))
        module[row.__name__] = row


add_rows(globals())
del Row  # no test by itself
