"""A second reader of MBX1, written from mbxarchive(5) and nothing else: checks what the page says of
every byte, row and root.

    second_reader.py ARCHIVE...
"""
import hashlib
import io
import re
import struct
import subprocess
import sys
import tarfile

SEAL = bytes.fromhex("5d2a4d18a8000000")
FLAGS = "SAFTDP"


def need(truth, what):
    if not truth:
        raise SystemExit("%s: %s" % (NAME, what))


def sha(data):
    return hashlib.sha256(data).digest()


def frame_length(data, at):
    """The length of the zstd frame at an offset, by RFC 8878; its flags are checked on the way."""
    need(data[at:at + 4] == b"\x28\xb5\x2f\xfd", "no zstd frame at %d" % at)
    descriptor = data[at + 4]
    need(descriptor & 4, "a frame without checksum")
    need(descriptor & 3 == 0, "a frame with a dictionary")
    single = descriptor >> 5 & 1
    sizes = (1 if single else 0, 2, 4, 8)
    here = at + 5 + (0 if single else 1) + sizes[descriptor >> 6]
    need(sizes[descriptor >> 6], "a frame without content size")
    while True:
        header = int.from_bytes(data[here:here + 3], "little")
        here += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        if header & 1:
            return here + 4 - at


def unpack(frame):
    return subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=True).stdout


def frames(data):
    """Yields (kind, decompressed frame), F0 as kind None; checks seals and seek table."""
    first = frame_length(data, 0)
    raw = unpack(data[:first])
    need(first <= 65536 and len(raw) <= 65536, "F0 is too large")
    yield None, raw
    table = [(first, len(raw))]
    chain, at, kind, count = sha(data[:first]), first, 0, 0
    while kind != 1:
        need(data[at:at + 8] == SEAL, "no seal at %d" % at)
        seal = data[at + 8:at + 176]
        magic, major, minor, kind, flags, zero, seq, raw_len, length = struct.unpack("<4sHHHHIQQQ", seal[:40])
        count += 1
        need((magic, major, minor, flags, zero, seq) == (b"MBXS", 1, 0, 0, 0, count), "seal %d" % count)
        need(kind in (0, 1, 2), "kind %d" % kind)
        need(seal[40:72] == chain, "chain of seal %d" % count)
        need(seal[104:] == bytes(64), "signature of seal %d" % count)
        frame = data[at + 176:at + 176 + length]
        need(len(frame) == length == frame_length(frame, 0) and sha(frame) == seal[72:104], "frame %d" % count)
        raw = unpack(frame)
        need(0 < raw_len == len(raw) <= 8 << 20, "raw length of frame %d" % count)
        yield kind, raw
        table += [(176, 0), (length, raw_len)]
        chain, at = sha(seal), at + 176 + length
    body = b"".join(struct.pack("<II", *pair) for pair in table) + struct.pack("<IBI", len(table), 0, 0x8F92EAB1)
    need(data[at:] == struct.pack("<II", 0x184D2A5E, len(body)) + body, "seek table")


def unescape(text):
    need(not re.search(rb"%(?![0-9A-F]{2})", text), "bad escape in %r" % text)
    return re.sub(rb"%(..)", lambda m: bytes([int(m[1], 16)]), text)


def string(text):
    return None if text == b"-" else unescape(text)


def escape(raw, special):
    out = b""
    for char in raw.decode("utf-8", "surrogateescape"):
        byte = char.encode("utf-8", "surrogateescape")
        plain = not "\udc80" <= char <= "\udcff" and byte[0] >= 0x20 and byte != b"\x7f" and byte not in special
        out += byte if plain else b"".join(b"%%%02X" % b for b in byte)
    return out


def put(raw):
    """The string form of raw bytes."""
    if raw is None:
        return b"-"
    return b"%2D" if raw == b"-" else escape(raw, [b"%", b",", b"="])


def component(raw):
    text = b""
    for i, byte in enumerate(raw):
        char = bytes([byte])
        plain = re.match(rb"[A-Za-z0-9@_+=,-]", char) or (char == b"." and 0 < i < len(raw) - 1)
        text += char if plain and not (char == b"-" and i == 0) else b"%%%02X" % byte
    if re.search(rb"\.(eml|tsv)$", text) or re.fullmatch(rb"[0-9]{6}", text):
        text = text[:-1] + b"%%%02X" % text[-1]
    if len(text) > 200:
        text = text[:183] + b"~" + hashlib.sha256(raw).hexdigest()[:16].encode()
    return text.decode()


class Root:
    def __init__(self, tag):
        self.text = tag + b"\n"

    def add(self, *fields):
        self.text += b"\t".join(fields) + b"\n"

    def hex(self):
        return hashlib.sha256(self.text).hexdigest().encode()


class Reader:
    def __init__(self):
        self.totals = dict.fromkeys("users boxes messages bytes unreadable changed failed".split(), 0)
        self.content, self.state = Root(b"mbx1-archive-content"), Root(b"mbx1-archive-state")
        self.last_q, self.wait, self.names = 0, None, []

    # ---- rows ----

    def row(self, seg, line):
        fields = line.split(b"\t")
        self.seg, self.keys = seg, []
        letter = fields[0].decode()
        columns = {"N": 4, "S": 5, "B": 8, "M": 12, "L": 12, "C": 4, "E": 2, "Z": 8, "y": 6, "Q": 12}
        need(letter in columns, "row %r" % line)
        self.keys = [tuple(f.split(b"=", 1)) for f in fields[1 + columns[letter]:]]
        need([k for k, _ in self.keys] == sorted(k for k, _ in self.keys), "keys of %r" % line)
        getattr(self, "row_" + letter)(*fields[1:1 + columns[letter]])

    def row_N(self, ordinal, name, kind, known):
        self.totals["users"] += 1
        need(int(ordinal) == self.totals["users"], "ordinal of a user")
        self.user = unescape(name)
        self.place = ("shared~" if kind == b"shared" else "") + component(self.user)
        self.account = Root(b"mbx1-account")
        self.roots = Root(b"mbx1-user-content"), Root(b"mbx1-user-state")
        self.boxes, self.shares, self.sums = [], {}, [0, 0, 0]

    def row_S(self, kind, name, size, digest, value):
        if kind == b"sieve":
            self.names.append((self.place + "/.account/sieve/" + component(unescape(name)) + ".sieve", int(size), None,
                               lambda data: need(sha(data).hex().encode() == digest, "script")))
        elif size != b"-":
            raw = unescape(value) if value != b"%2D" else b"-"
            need((len(raw), sha(raw).hex().encode()) == (int(size), digest), "account item")
        # A path is in its column as it is, and a string in the root.
        self.account.add(kind, put(name if kind == b"subscription" else unescape(name)), digest)

    def row_B(self, ordinal, path, guid, validity, uidnext, modseq, recent, expected):
        keys = dict(self.keys)
        self.box = {"path": path, "first": self.seg, "n": 0, "bytes": 0, "bad": 0}
        self.boxes.append(self.box)
        need(int(ordinal) == len(self.boxes), "ordinal of a mailbox")
        raw = b"/".join(unescape(level) for level in path.split(b"/"))
        need((b"raw" in keys) == (raw.decode("utf-8", "replace").encode() != raw), "raw")
        self.entry = "/".join([self.place] + [component(unescape(level)) for level in path.split(b"/")])
        self.tagged = [Root(b"mbx1-" + t) for t in (b"content", b"state", b"extra", b"props")]
        self.tagged[2].add(b"highestmodseq", modseq)
        props = self.tagged[3]
        props.add(b"box", b"-" if b"invented" in keys else validity, uidnext,
                  keys.get(b"special-use", b"-"), b"noselect" if b"noselect" in keys else b"select")
        for key, value in self.keys:
            if key in (b"acl", b"meta"):
                one, two = value.split(b":", 1)
                one, two = unescape(one), unescape(two)
                if key == b"acl":
                    props.add(b"acl", put(one), put(two))
                else:
                    props.add(b"metadata", put(one), sha(two).hex().encode())

    def message(self, row):
        uid, size, rfc822, digest, date, save, modseq, flags, keywords, guid, uidl, order = row
        need(re.fullmatch("-|S?A?F?T?D?P?", flags.decode()), "flags")
        self.box["n"] += 1
        self.box["bytes"] += int(rfc822)
        words = set() if keywords == b"-" else {unescape(k).lower() for k in keywords.split(b",")}
        content, state, extra, _ = self.tagged
        content.add(uid, rfc822, digest, date)
        state.add(uid, flags.replace(b"P", b"") or b"-", b",".join(put(w) for w in sorted(words)) or b"-")
        extra.add(uid, modseq, save, guid, uidl, order)

    def canonical(self, row):
        def check(data):
            form = re.sub(rb"(?<!\r)\n", b"\r\n", data)
            need((len(form), sha(form).hex().encode()) == (int(row[2]), row[3]), "digest of uid %s" % row[0].decode())
        return check

    def mtime(self, date):
        return 0 if date == b"-" else min(max(int(date), 0), 2 ** 33 - 1)

    def row_M(self, *row):
        name = "%s/%06d/%010d.eml" % (self.entry, int(row[0]) // 10000, int(row[0]))
        share = dict(self.keys).get(b"share")
        if share is not None:
            need(int(share) == len(self.shares) + 1, "share number")
            self.shares[share] = (name, self.seg, row)
        if row[3] == b"-":
            self.wait = [row, share]
            self.names.append((name, int(row[1]), self.mtime(row[4]), None))
            return
        self.names.append((name, int(row[1]), self.mtime(row[4]), self.canonical(row)))
        self.message(row)

    def row_C(self, uid, rfc822, digest, how):
        row, share = self.wait
        need(uid == row[0], "uid of C")
        self.wait = None
        if how == b"void":
            self.box["bad"] += 1
            return
        row = row[:2] + (rfc822, digest) + row[4:]
        if share is not None:
            self.shares[share] = self.shares[share][:2] + (row,)
        self.late.append(self.canonical(row))
        self.message(row)

    def row_L(self, *row):
        keys = dict(self.keys)
        name, seg, body = self.shares[keys[b"share"]]
        need(int(keys[b"seg"]) == seg and row[1:4] == body[1:4], "link")
        self.names.append(("%s/%06d/%010d.eml" % (self.entry, int(row[0]) // 10000, int(row[0])), name, self.mtime(row[4]), None))
        self.message(row)

    def row_E(self, uid, reason):
        self.box["bad"] += 1

    def row_Z(self, ordinal, messages, size, bad, *roots):
        box = self.box
        need((int(ordinal), int(messages), int(size), int(bad)) == (len(self.boxes), box["n"], box["bytes"], box["bad"]), "row Z")
        need(list(roots) == [r.hex() for r in self.tagged], "roots of %r" % box["path"])
        box["last"] = self.seg
        self.roots[0].add(put(box["path"]), roots[0])
        self.roots[1].add(put(box["path"]), roots[1])
        self.content.add(self.user, put(box["path"]), roots[0])
        self.state.add(self.user, put(box["path"]), roots[1])
        self.sums = [a + b for a, b in zip(self.sums, (1, box["n"], box["bytes"]))]
        for key, n in zip(("boxes", "messages", "bytes"), (1, box["n"], box["bytes"])):
            self.totals[key] += n

    def row_y(self, ordinal, path, first, last, messages, size):
        box = self.boxes[int(ordinal) - 1]
        need((path, int(first), int(last), int(messages), int(size)) ==
             (box["path"], box["first"], box["last"], box["n"], box["bytes"]), "row y")

    def row_Q(self, ordinal, boxes, messages, size, bad, changed, status, code, account, content, state, before):
        need((int(ordinal), int(before)) == (self.totals["users"], self.last_q), "row Q")
        need([int(boxes), int(messages), int(size)] == self.sums, "sums of Q")
        need([account, content, state] == [self.account.hex()] + [r.hex() for r in self.roots], "roots of Q")
        need((status == b"complete") == (code == b"0"), "status")
        self.totals["unreadable"] += int(bad)
        self.totals["changed"] += int(changed)
        self.totals["failed"] += status == b"failed"
        self.last_q = self.seg

    # ---- the tar layer ----

    def read(self, data):
        parts = list(frames(data))
        kinds = [k for k, _ in parts]
        tar = tarfile.open(fileobj=io.BytesIO(b"".join(raw for _, raw in parts)), ignore_zeros=False)
        raw_end = b"".join(raw for _, raw in parts)[-1024:]
        need(raw_end == bytes(1024), "two blocks of zeros")
        self.late = []
        for member in tar:
            need((member.mode, member.uid, member.gid, member.uname, member.gname) == (0o600, 0, 0, "", ""), "header")
            body = tar.extractfile(member).read() if member.isreg() else None
            self.member(member, body, kinds)
        need(not self.names and not self.late, "an entry is missing")
        self.check_frames(parts)

    def member(self, member, body, kinds):
        if member.name == ".mbx/archive":
            names = [line.split(b"\t")[0] for line in body.splitlines()]
            need(names == b"mbx id created host store program digest kind requires uses zstd".split(), ".mbx/archive")
            self.created = int(re.search(rb"^created\t(\d+)$", body, re.M)[1])
            need(member.mtime == self.created, "time of .mbx/archive")
        elif re.fullmatch(r"\.mbx/seg/\d{10}", member.name):
            need(member.size == 512 and body[-1:] == b"\n" and member.mtime == self.created, "head")
            self.head = body.rstrip().decode().split(" ")
        elif member.name == ".mbx/end":
            self.end(body)
        elif member.name.endswith(".tsv"):
            seg = int(member.name[9:19])
            lines = body.split(b"\n")[:-1]
            need(self.head[:5] == ["mbx1", "seg", str(seg), "user", str(self.totals["users"] + lines[0].startswith(b"N\t"))], "head")
            for line in lines:
                self.row(seg, line)
            bodies = sum(line[:2] in (b"M\t", b"L\t") for line in lines)
            need(self.head[7:] == ["rows", str(len(lines)), "bodies", str(bodies)], "counts of head %d" % seg)
            if lines[0].startswith(b"C\t") and self.late:
                self.late.pop()(self.large)
        else:
            name, size, mtime, check = self.names.pop(0)
            if member.islnk():
                need((member.name, member.linkname) == (name, size), "link %s" % member.name)
            else:
                need((member.name, member.size) == (name, size), "entry %s" % member.name)
                self.large = body
                if check is not None:
                    check(body)
            need(member.mtime == (self.created if mtime is None else mtime), "time of %s" % member.name)

    def end(self, body):
        t = self.totals
        need(self.head == ["mbx1", "end", self.head[2], "users", str(t["users"]), "boxes", str(t["boxes"]), "messages",
                           str(t["messages"]), "bytes", str(t["bytes"])], "head of END")
        rows = [line.split(b"\t") for line in body.splitlines()]
        want = [[b"totals"] + [str(t[k]).encode() for k in "users boxes messages bytes unreadable changed failed".split()],
                [b"content", self.content.hex()], [b"state", self.state.hex()], [b"last-q", str(self.last_q).encode()]]
        need(rows == want, "END")

    def check_frames(self, parts):
        """Heads, announcements, and what frames of kind 2 hold."""
        for seq, (kind, raw) in enumerate(parts):
            last = seq == len(parts) - 1
            into_body = not last and parts[seq + 1][0] == 2
            if kind == 2:
                need(len(raw) == 4 << 20 if into_body else len(raw) % 512 == 0, "frame %d" % seq)
            if not last and not into_body:
                need(raw[-512:].startswith(b".mbx/seg/%010d\0" % (seq + 1)), "announcement of %d" % (seq + 1))
            if kind in (0, 1):
                need(raw[:9] == (b"mbx1 seg " if kind == 0 else b"mbx1 end "), "head of %d" % seq)


for NAME in sys.argv[1:]:
    with open(NAME, "rb") as file:
        reader = Reader()
        reader.read(file.read())
        print("%s: %s" % (NAME, " ".join("%d %s" % (n, k) for k, n in reader.totals.items())))
