"""Everything that a mail client can see of an account, over imaplib and poplib, and how two of these differ."""
import base64
import hashlib
import imaplib
import poplib
import re
import socket
import time

from servers import PASSWORD

imaplib._MAXLINE = 100 * 1000 * 1000
poplib._MAXLINE = 100 * 1000 * 1000

for command in ("GETMETADATA", "SETMETADATA"):
    imaplib.Commands.setdefault(command, ("AUTH", "SELECTED"))
imaplib.Commands.setdefault("MOVE", ("SELECTED",))


def to_utf7(name):
    """IMAP's modified UTF-7 (RFC 3501, 5.1.3)."""
    out, wide = [], ""

    def flush():
        nonlocal wide
        if wide:
            out.append("&" + base64.b64encode(wide.encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-")
            wide = ""

    for c in name:
        if " " <= c <= "~":
            flush()
            out.append("&-" if c == "&" else c)
        else:
            wide += c
    flush()
    return "".join(out)


def from_utf7(text):
    def decode(match):
        if match.group(1) == "":
            return "&"
        data = match.group(1).replace(",", "/")
        return base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-16-be")
    return re.sub(r"&([^-]*)-", decode, text)


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Imap(imaplib.IMAP4):
    """An account over IMAP, with mailboxes named by their levels."""

    def __init__(self, account):
        super().__init__("127.0.0.1", account.imap)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.account = account
        if account.preauth:
            self.state = "AUTH"
        else:
            self.login(account.name, PASSWORD)
            self._get_capabilities()

    def wire(self, path):
        """How a path is spelled on the wire."""
        if self.account.is_courier and path != ("INBOX",):
            path = ("INBOX",) + path
        return to_utf7(self.account.separator.join(path))

    def path(self, wire):
        levels = tuple(from_utf7(wire).split(self.account.separator))
        if self.account.is_courier and len(levels) > 1 and levels[0].upper() == "INBOX":
            levels = levels[1:]
        return ("INBOX",) if levels[0].upper() == "INBOX" and len(levels) == 1 else levels

    def ok(self, command, *args):
        """Runs a command that has to succeed; returns its data."""
        status, data = getattr(self, command)(*args)
        if status != "OK":
            raise RuntimeError("%s %r: %s %r" % (command, args, status, data))
        return data

    def move(self, messages, name):
        """RFC 6851."""
        return self._simple_command("MOVE", messages, name)

    def list_paths(self, command="list"):
        """{path: set of flags}"""
        found = {}
        for item in self.ok(command, '""', '"*"'):
            if item is None:
                continue
            if isinstance(item, tuple):  # the name came as a literal
                head, name = item[0].decode(), item[1].decode("utf-8", "surrogateescape")
                flags = re.match(r"\(([^)]*)\)", head).group(1)
            else:
                match = re.match(r'\(([^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (.*)$', item.decode("utf-8", "surrogateescape"))
                if match is None:
                    continue
                flags, name = match.groups()
                if name.startswith('"'):
                    name = re.sub(r"\\(.)", r"\1", name[1:-1])
            path, flags = self.path(name), set(flags.split())
            # What is only there for what is below: Courier shows the parent of INBOX.INBOX.x as INBOX.INBOX, and
            # in LSUB parents that nobody has subscribed to (RFC 3501, 6.3.9).
            if "\\Noselect" in flags and (path == ("INBOX",) or command == "lsub"):
                continue
            found[path] = flags
        return found


CHUNK = 100


def parse_fetch(data):
    """Yields (uid, flags, internaldate, size, modseq or None, body) of imaplib's answer to FETCH."""
    index = 0
    while index < len(data):
        item = data[index]
        index += 1
        if not isinstance(item, tuple):
            text, body = item, b""
            if item is None or b"INTERNALDATE" not in item:
                continue
        else:
            text, body = item[0], item[1]
            while index < len(data) and not isinstance(data[index], tuple):
                text += b" " + data[index]
                index += 1
                if text.endswith(b")"):
                    break
        text = text.decode("utf-8", "surrogateescape")
        uid = int(re.search(r"\bUID (\d+)", text).group(1))
        flags = re.search(r"FLAGS \(([^)]*)\)", text).group(1).split()
        date = re.search(r'INTERNALDATE "([^"]*)"', text).group(1)
        size = int(re.search(r"RFC822\.SIZE (\d+)", text).group(1))
        modseq = re.search(r"MODSEQ \((\d+)\)", text)
        yield uid, flags, date, size, modseq and int(modseq.group(1)), body


def canonical_flags(flags):
    """\\Recent belongs to a session; keywords have no case."""
    return tuple(sorted(f if f.startswith("\\") else f.lower() for f in flags if f.lower() != "\\recent"))


def date_seconds(date):
    return int(time.mktime(imaplib.Internaldate2tuple(b'INTERNALDATE "' + date.encode() + b'"')))


def read_mailbox(imap, path):
    """What a client sees in one mailbox."""
    wire = quote(imap.wire(path))
    status, data = imap.select(wire, True)
    if status != "OK":
        return {"error": repr(data)}
    answers = imap.untagged_responses
    box = {
        "uidvalidity": int(answers["UIDVALIDITY"][-1]),
        "exists": int(data[0]),
        "recent": int(answers["RECENT"][-1]),
        "messages": {},
    }
    condstore = "CONDSTORE" in imap.capabilities
    status_line = imap.ok("status", wire, "(UIDNEXT UNSEEN%s)" % (" HIGHESTMODSEQ" if condstore else ""))[0]
    if isinstance(status_line, tuple):
        status_line = b" ".join(status_line) + imap.untagged_responses.get("STATUS", [b""])[-1]
    for field in re.findall(rb"(UIDNEXT|UNSEEN|HIGHESTMODSEQ) (\d+)", status_line):
        box[field[0].decode().lower()] = int(field[1])
    order = []
    for first in range(1, box["exists"] + 1, CHUNK):
        span = "%d:%d" % (first, min(first + CHUNK - 1, box["exists"]))
        answer = imap.ok("fetch", span, "(UID FLAGS INTERNALDATE RFC822.SIZE %sBODY.PEEK[])" % ("MODSEQ " if condstore else ""))
        for uid, flags, date, size, modseq, body in parse_fetch(answer):
            order.append(uid)
            # Dovecot shows a NUL as 0x80 in BODY[], others show it as it is.
            digest = hashlib.sha256(body.replace(b"\0", b"\x80")).hexdigest()
            box["messages"][uid] = {"flags": canonical_flags(flags), "date": date_seconds(date), "size": size,
                                    "body": digest, "body_size": len(body), "text": text_digest(body)}
            if condstore:
                box["messages"][uid]["modseq"] = modseq
    box["order"] = order
    if imap.account.is_courier or "ACL" in imap.capabilities:
        box["acl"] = read_acl(imap, wire)
    if "METADATA" in imap.capabilities:
        box["metadata"] = read_metadata(imap, wire)
    imap.untagged_responses.clear()
    imap.unselect() if "UNSELECT" in imap.capabilities else imap.close()
    return box


def text_digest(body):
    """A digest that does not see how Courier treats CR: it shows a stored CRLF as CRCRLF, and no CR at the very end."""
    return hashlib.sha256(re.sub(rb"\r+\n", b"\r\n", body.replace(b"\0", b"\x80")).rstrip(b"\r")).hexdigest()


def read_acl(imap, wire):
    status, data = imap.getacl(wire)
    if status != "OK":
        return None
    text = b" ".join(b" ".join(i) if isinstance(i, tuple) else i for i in data if i).decode()
    words = re.findall(r'"(?:[^"\\]|\\.)*"|[^ ]+', text)
    pairs = [w.strip('"') for w in words[1:]]
    pairs = ["(the user)" if w == imap.account.name else w for w in pairs]
    return tuple(sorted((pairs[i], "".join(sorted(pairs[i + 1]))) for i in range(0, len(pairs) - 1, 2)))


def read_metadata(imap, wire):
    found = set()
    for scope in ("/private", "/shared", "/private/vendor/vendor.test/x"):
        imap.untagged_responses.clear()
        status, _ = imap._simple_command("GETMETADATA", "(DEPTH infinity)", wire, scope)
        if status != "OK":
            return None
        data = imap.untagged_responses.pop("METADATA", [])
        text = []
        for item in data:
            if isinstance(item, tuple):
                text.append(item[0].decode().rsplit("{", 1)[0] + quote(item[1].decode("utf-8", "surrogateescape")))
            elif item:
                text.append(item.decode("utf-8", "surrogateescape"))
        joined = "".join(text)
        for key, value in re.findall(r'(/(?:private|shared)/[^ )]+) ("(?:[^"\\]|\\.)*"|NIL)', joined):
            if value != "NIL":
                found.add((key.lower(), value))
    return tuple(sorted(found))


def read_pop3(account):
    """UIDLs, sizes and digests in the order that POP3 shows."""
    pop = poplib.POP3("127.0.0.1", account.pop3)
    if not account.preauth:
        pop.user(account.name)
        pop.pass_(PASSWORD)
    uidls = [line.split(b" ", 1)[1].decode("utf-8", "backslashreplace") for line in pop.uidl()[1]]
    sizes = [int(line.split()[1]) for line in pop.list()[1]]
    pop.quit()
    return [{"uidl": u, "size": s} for u, s in zip(uidls, sizes)]


def add_inside(account, snap):
    """Adds what only Dovecot's own tool tells of mailboxes and messages."""
    for path, guid in doveadm_table(account, "mailbox", "status", "-u", account.name, "guid", "*"):
        if path in snap["boxes"]:
            snap["boxes"][path]["box_guid"] = guid
    fields = ("guid", "date.saved.unixtime", "pop3.uidl", "pop3.order")
    for path, uid, *values in doveadm_table(account, "fetch", "-u", account.name, "mailbox uid " + " ".join(fields), "ALL"):
        box = snap["boxes"][path]
        message = box["messages"][int(uid)]
        message.update(zip(("guid", "savedate", "uidl", "uidl_order"), values))
        if message["uidl"] == "%08x%08x" % (int(uid), box["uidvalidity"]):
            message["uidl"] = ""  # what POP3 makes up is kept by some stores once it was shown


def doveadm_table(account, *args):
    """Rows of doveadm's output, the mailbox as its path."""
    for line in account.server.doveadm("-f", "tab", *args).split("\n")[1:-1]:
        name, *values = line.split("\t")
        yield tuple(name.split("/")), *values


def take(account, pop3=True):
    """Reads the whole account."""
    imap = Imap(account)
    listed = imap.list_paths()
    snap = {
        "folders": {p: sorted(f for f in flags if f.lower() in (
            "\\noselect", "\\sent", "\\trash", "\\drafts", "\\junk", "\\archive", "\\flagged", "\\all"))
            for p, flags in listed.items()},
        "subscribed": sorted(imap.list_paths("lsub")),
        "boxes": {},
    }
    if "METADATA" in imap.capabilities:
        snap["metadata"] = read_metadata(imap, '""')
    for path, flags in sorted(listed.items()):
        if "\\noselect" not in {f.lower() for f in flags}:
            snap["boxes"][path] = read_mailbox(imap, path)
    imap.logout()
    if pop3:
        snap["pop3"] = read_pop3(account)
    if not account.is_courier:
        add_inside(account, snap)
    return snap


def messages(snap):
    return sum(len(b.get("messages", ())) for b in snap["boxes"].values())


def diff(a, b, ignore=(), limit=40):
    """Differences as lines a person can read; ignore names fields that are a stated loss."""
    lines = []

    def compare(where, x, y):
        if x != y:
            lines.append("%s: %r != %r" % (where, x, y))

    for field in ("folders", "subscribed", "metadata"):
        if field in ignore or field not in a or field not in b:
            continue
        if field == "folders":
            for path in sorted(set(a[field]) | set(b[field])):
                flags = (a[field].get(path, "missing"), b[field].get(path, "missing"))
                if "special-use" in ignore:
                    flags = ["missing" if f == "missing" else [x for x in f if x.lower() == "\\noselect"] for f in flags]
                if "noselect" in ignore and "missing" in flags and ["\\Noselect"] in [list(f) for f in flags if f != "missing"]:
                    continue
                compare("folder %s" % "/".join(path), *flags)
        else:
            compare(field, a[field], b[field])
    for path in sorted(set(a["boxes"]) & set(b["boxes"])):
        compare_box("/".join(path), a["boxes"][path], b["boxes"][path], ignore, compare)
    for path in sorted(set(a["boxes"]) ^ set(b["boxes"])):
        lines.append("mailbox %s: only in %s" % ("/".join(path), "the first" if path in a["boxes"] else "the second"))
    if "pop3" in a and "pop3" in b and "pop3" not in ignore:
        compare("pop3 count", len(a["pop3"]), len(b["pop3"]))
        for n, (x, y) in enumerate(zip(a["pop3"], b["pop3"]), 1):
            compare("pop3 %d" % n, {k: v for k, v in x.items() if "pop3-" + k not in ignore},
                    {k: v for k, v in y.items() if "pop3-" + k not in ignore})
    if len(lines) > limit:
        lines = lines[:limit] + ["... and %d more" % (len(lines) - limit)]
    return lines


BOX_FIELDS = ("error", "uidvalidity", "uidnext", "exists", "recent", "unseen", "highestmodseq", "box_guid", "order", "acl",
              "metadata")
MESSAGE_FIELDS = ("flags", "date", "size", "body", "body_size", "text", "modseq", "guid", "savedate", "uidl", "uidl_order")
# Fields that not every server tells.
OPTIONAL = ("highestmodseq", "modseq", "acl", "metadata", "box_guid", "guid", "savedate", "uidl", "uidl_order")
# All that diff() can leave out.
FIELDS = BOX_FIELDS + MESSAGE_FIELDS + ("folders", "subscribed", "special-use", "noselect", "pop3", "pop3-uidl", "pop3-size")


def compare_box(name, x, y, ignore, compare):
    for field in BOX_FIELDS:
        if field not in ignore and (field in x or field in y):
            if field in OPTIONAL and (field not in x or field not in y):
                continue
            compare("%s: %s" % (name, field), x.get(field), y.get(field))
    first, second = x.get("messages", {}), y.get("messages", {})
    for uid in sorted(set(first) | set(second)):
        if uid not in first or uid not in second:
            compare("%s: uid %d" % (name, uid), uid in first, uid in second)
            continue
        for field in MESSAGE_FIELDS:
            if field not in ignore and (field not in OPTIONAL or (field in first[uid] and field in second[uid])):
                compare("%s: uid %d: %s" % (name, uid, field), first[uid][field], second[uid][field])
