#!/usr/bin/env python3
"""Makes mail for the tests: ordinary, and as nasty as it comes. The same call makes the same bytes.

    gen_mail.py nasty DIR [BIG]                 one file per kind of nastiness; BIG is the largest body in bytes
    gen_mail.py maildir DIR [COUNT]             a sample Maildir as Dovecot leaves it: folders, flags, keywords, UIDs
    gen_mail.py flat DIR COUNT [BYTES]          one mailbox of COUNT messages of about BYTES each, with a UID list
    gen_mail.py huge DIR BYTES                  one mailbox with one message of BYTES
"""
import hashlib
import os
import random
import sys

WORDS = ("budget meeting minutes report harbour garden invoice letter mirror station winter archive copper "
         "question answer village engine thunder pocket silver morning evening candle bridge market river").split()
NAMES = ("Ann Bob Carla Dieter Eva François Gül Håkan Ивана Joe Kōji Łucja Müller Nguyễn Οδυσσέας 王芳").split()


def ordinary(number, seed=1, size=None, eol=b"\n"):
    """An ordinary message; number and seed decide every byte."""
    rng = random.Random(seed * 1000003 + number)
    name = rng.choice(NAMES)
    head = [
        "Return-Path: <%s@example.org>" % name.encode("ascii", "ignore").decode().lower(),
        "Message-ID: <%d.%d@example.org>" % (seed, number),
        "Date: %02d Jan %d 12:%02d:%02d +0000" % (1 + number % 28, 1990 + number % 40, number % 60, number % 59),
        "From: %s <sender%d@example.org>" % (name, number % 97),
        "To: joe@example.net",
        "Subject: %s %s %d" % (rng.choice(WORDS), rng.choice(WORDS), number),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
    ]
    text = "\n".join(head) + "\n"
    want = rng.choice((120, 400, 900, 2500, 7000, 20000)) if size is None else size
    lines = [text]
    have = len(text.encode())
    while have < want:
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12))) + "\n"
        lines.append(line)
        have += len(line)
    data = "".join(lines).encode()
    return data.replace(b"\n", eol)


def noise(size, seed):
    """Bytes that do not compress, made quickly."""
    return random.Random(seed).randbytes(size)


def nasty(big=100 * 1000 * 1000):
    """Yields (name, message) for every kind of nastiness."""
    head = b"From: a@example.org\nTo: b@example.org\nSubject: %s\nDate: Mon, 1 Jan 2001 00:00:00 +0000\n\n"
    crlf = head.replace(b"\n", b"\r\n")
    yield "empty", b""
    yield "one-lf", b"\n"
    yield "one-crlf", b"\r\n"
    yield "one-cr", b"\r"
    yield "one-byte", b"x"
    yield "no-header", b"\nbody without any header\n"
    yield "no-body", head % b"no body"
    yield "no-blank-line", b"From: a@example.org\nSubject: header only"
    yield "no-colon", b"this is not a header\nnor is this\n\nbody\n"
    yield "nul", head % b"nul" + b"a\0b\0\0c\n\0\n" + bytes(1000) + b"\n"
    yield "nul-in-header", b"From: a@example.org\nSubject: a\0b\n\nbody\n"
    yield "bare-cr", head % b"bare cr" + b"one\rtwo\r\rthree\r"
    yield "bare-lf", head % b"bare lf" + b"one\ntwo\n\nthree"
    yield "crlf", crlf % b"crlf" + b"one\r\ntwo\r\n\r\nthree\r\n"
    yield "mixed-ends", crlf % b"mixed" + b"one\ntwo\r\nthree\rfour\r\r\nfive\n\rsix\n"
    yield "cr-at-end", head % b"cr at end" + b"last\r"
    yield "crlf-header-lf-body", crlf % b"half" + b"one\ntwo\n"
    yield "header-line-1m", head % (b"x" * (1 << 20)) + b"body\n"
    yield "header-1m", b"".join(b"X-%d: %s\n" % (i, b"y" * 90) for i in range(10000)) + b"\nbody\n"
    yield "body-line-1m", head % b"long" + b"z" * (1 << 20) + b"\n"
    yield "from-lines", head % b"from" + b"From here on\n\nFrom joe Mon Jan  1 00:00:00 2001\n>From quoted\n"
    yield "from-first", b"From joe@example.org Mon Jan  1 00:00:00 2001\n" + head % b"mbox leftover" + b"body\n"
    yield "dot-lines", head % b"dots" + b".\n..\n.hidden\n\n.\n"
    yield "latin1", head % b"caf\xe9" + b"na\xefve \xff\xfe\n"
    yield "utf8", head % "Grüße 🐌".encode() + "日本語\n".encode()
    yield "bad-utf8", head % b"\xf0\x28\x8c\x28" + b"\xc3\x28\xed\xa0\x80\n"
    yield "escapes", head % b"\x1b[31mred\x07" + b"\x1b]0;title\x07\n"
    yield "looks-like-tar", b"ustar\x0000" * 100 + b"\n"
    yield "looks-like-zstd", b"\x28\xb5\x2f\xfd" + noise(3000, 5) + b"\n"
    yield "looks-like-gzip", b"\x1f\x8b\x08" + noise(3000, 6) + b"\n"
    yield "seal-magic", b"\x50\x2a\x4d\x18" * 300 + b"\n"
    yield "duplicate-ids", (head % b"twice").replace(b"From:", b"Message-ID: <same@x>\nMessage-ID: <same@x>\nFrom:") + b"b\n"
    for size in (511, 512, 513, 1023, 1024, 4095, 4096, 4097, 65535, 65536, 65537, 131072):
        start = head % b"size %d" % size
        yield "size-%d" % size, start + b"s" * (size - len(start) - 1) + b"\n"
    deep = b"".join(b"--%d\nContent-Type: multipart/mixed; boundary=%d\n\n" % (i, i + 1) for i in range(200))
    yield "deep-mime", b"Content-Type: multipart/mixed; boundary=0\nSubject: deep\n\n" + deep + b"--200\n\nend\n"
    for size in (4 << 20, (4 << 20) + 1, 9 << 20):
        if size <= big:
            yield "body-%d" % size, head % b"large" + noise(size, size).replace(b"\r", b".").replace(b"\0", b"0") + b"\n"
    if big >= 10 << 20:
        line = b"0123456789abcdef" * 4 + b"\n"
        yield "body-%d" % big, head % b"huge" + line * (big // len(line))


def write(path, data, mtime, mode=0o600):
    """Writes a new file with its date."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(fd, "wb") as f:
        f.write(data)
    os.utime(path, (mtime, mtime))


def make_folder(path):
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(path, sub), 0o700, exist_ok=True)


def crlf_size(data):
    """RFC822.SIZE: every LF without CR before it counts as CRLF."""
    return len(data) + data.count(b"\n") - data.count(b"\r\n")


def guid(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fill_folder(path, name, messages, uidvalidity, keywords=(), date=1000000000):
    """messages: (data, flag letters) or None for a UID that was expunged."""
    make_folder(path)
    lines = []
    for uid, message in enumerate(messages, 1):
        if message is None:
            continue
        data, flags = message
        base = "%d.M%06dP%d.example,S=%d,W=%d" % (date + uid, uid % 1000000, 100 + uid % 900, len(data), crlf_size(data))
        write(os.path.join(path, "cur", base + ":2," + flags), data, date + uid)
        lines.append("%d :%s\n" % (uid, base))
    with open(os.path.join(path, "dovecot-uidlist"), "w") as f:
        f.write("3 V%d N%d G%s\n" % (uidvalidity, len(messages) + 1, guid(name)))
        f.writelines(lines)
    if keywords:
        with open(os.path.join(path, "dovecot-keywords"), "w") as f:
            f.writelines("%d %s\n" % k for k in enumerate(keywords))


def maildir(root, count=200):
    """A sample Maildir: ordinary and nasty mail in INBOX and nested folders with odd names."""
    odd = [data for _, data in nasty(1 << 20)]
    letters = ["", "S", "RS", "FS", "DS", "ST", "Sa", "Sab", "FRSbc"]
    keywords = ("$Forwarded", "$MDNSent", "project-x")
    folders = ["", ".Sent", ".Archive.2019", ".Archive.2020", ".Entw&APw-rfe", ".with space", ".a&-b", ".Trash"]
    for number, folder in enumerate(folders):
        share = count // 2 if folder == "" else count // (2 * (len(folders) - 1))
        messages = []
        for i in range(share):
            data = odd[i // 3] if i % 3 == 0 and i // 3 < len(odd) and folder == "" else ordinary(i, number + 1)
            messages.append(None if i % 10 == 7 else (data, letters[(i + number) % len(letters)]))
        path = os.path.join(root, folder) if folder else root
        fill_folder(path, folder or "INBOX", messages, 1500000000 + number, keywords, 1000000000 + number * 10000000)
        if folder:
            write(os.path.join(path, "maildirfolder"), b"", 1500000000)
    with open(os.path.join(root, "subscriptions"), "w") as f:
        f.write("V\t2\n\nINBOX\nSent\nArchive\t2019\nEntw&APw-rfe\ngone\n")


def flat(root, count, size=300):
    """One mailbox of small messages, made as fast as Python can."""
    make_folder(root)
    text = ordinary(0, 9, size)
    at = text.index(b"Subject: ") + 9
    with open(os.path.join(root, "dovecot-uidlist"), "w") as uidlist:
        uidlist.write("3 V1500000000 N%d G%s\n" % (count + 1, guid("flat")))
        for uid in range(1, count + 1):
            data = text[:at] + b"%08d" % uid + text[at + 8:]
            base = "%d.M%06dP1.example,S=%d,W=%d" % (1000000000 + uid, uid % 1000000, len(data), crlf_size(data))
            with open("%s/cur/%s:2,S" % (root, base), "wb", 0) as f:
                f.write(data)
            uidlist.write("%d :%s\n" % (uid, base))


def huge(root, size):
    """One message of any size, written piece by piece."""
    make_folder(root)
    block = b"".join(noise(47, i).hex().encode()[:76] + b"\n" for i in range(16384))
    path = os.path.join(root, "cur", "1000000001.M1P1.example:2,S")
    with open(path, "wb") as f:
        left = size
        head = b"From: a@example.org\nSubject: huge\n\n"
        f.write(head[:left])
        left -= min(left, len(head))
        while left > 0:
            f.write(block[:left])
            left -= min(left, len(block))
    os.utime(path, (1000000001, 1000000001))
    with open(os.path.join(root, "dovecot-uidlist"), "w") as f:
        f.write("3 V1500000000 N2 G%s\n1 :1000000001.M1P1.example\n" % guid("huge"))


def main(args):
    if len(args) < 2:
        sys.stderr.write(__doc__)
        return 64
    what, target, numbers = args[0], args[1], [int(a) for a in args[2:]]
    os.makedirs(target, exist_ok=True)
    if what == "nasty":
        for name, data in nasty(*numbers):
            write(os.path.join(target, name), data, 1000000000)
    elif what in ("maildir", "flat", "huge"):
        globals()[what](target, *numbers)
    else:
        sys.stderr.write(__doc__)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
