"""Accounts of real servers, moved; what a client sees afterwards has to be what it saw before."""
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time

import fill
import moving
import snapshot
from moving import export, move, program, run, store, verify
from harness import Base, here
from servers import TOP, clean_environment

BIG = int(os.environ.get("MBX_TEST_BIG", 100 * 1000 * 1000))  # bytes of the largest body

# What Courier does not have, or no Maildir: the matrix compares it where there is something to compare.
UNTOLD = ("savedate",)
# What a server makes anew where none has looked yet.
UNMADE = ("uidvalidity", "pop3-uidl", "uidl", "box_guid", "modseq", "highestmodseq")
# What a move between unlike servers cannot keep; mbximport says so, and the tests of what it says are elsewhere.
BETWEEN_KINDS = ("metadata", "special-use", "acl")
TO_COURIER = BETWEEN_KINDS + ("recent",)
FROM_COURIER = BETWEEN_KINDS + ("guid", "box_guid", "modseq", "highestmodseq")
TO_MBOX = ("guid", "uidl", "uidl_order", "pop3-uidl")
# Courier shows a CR before every LF, one that is stored there too, and none at the end of a message.
COURIER_ENDS = ("body", "body_size", "size", "pop3-size")


class MaildirBase(Base):
    def moved(self, before, source, kind, ignore=(), **more):
        return super().moved(before, source, kind, tuple(ignore) + UNTOLD, **more)


class FilledBase(MaildirBase):
    def filled(self, kind):
        """An account filled over IMAP, and what a client sees of it."""
        source = here.account(kind)
        if kind == "courier":
            here.courier.make_maildir(source)
        fill.over_imap(source)
        fill.dated(source)
        fill.settle(source)
        return source, snapshot.take(source)


class Filled(FilledBase):
    """Accounts filled over IMAP, moved every way."""

    def test_dovecot_to_dovecot_fs_and_back(self):
        source, before = self.filled("maildir++")
        middle, seen = self.moved(before, source, "fs", ignore=("noselect",))
        self.moved(seen, middle, "maildir++", ignore=("noselect",))

    def test_dovecot_to_courier_and_back(self):
        source, before = self.filled("maildir++")
        middle, seen = self.moved(before, source, "courier", ignore=TO_COURIER + ("pop3",))
        self.moved(seen, middle, "maildir++", ignore=FROM_COURIER)

    def test_courier_to_dovecot_and_back(self):
        source, before = self.filled("courier")
        middle, seen = self.moved(before, source, "maildir++", ignore=FROM_COURIER)
        self.moved(before, middle, "courier", ignore=TO_COURIER + ("subscribed",))
        self.assertTrue(seen["pop3"][0]["uidl"].startswith("UID"))

    def test_over_ssh(self):
        source, before = self.filled("maildir++")
        self.moved(before, source, "maildir++", ssh=here.sshd)

    def test_options_do_not_change_the_result(self):
        source, before = self.filled("maildir++")
        for options in (("-z", "0"), ("-z", "19", "-j", "1"), ("-j", "4")):
            self.moved(before, source, "maildir++", export_options=options)

    def test_archive_file_and_selection(self):
        source, before = self.filled("maildir++")
        archive = here.work.dir + "/selected.mbx"
        export(source, archive, "-m", "Archive*", "-m", "INBOX")
        destination = here.account("maildir++")
        status, _, text = run(program("mbximport"), "-i", archive, store(destination))
        self.assertEqual(status, 0, text)
        after = snapshot.take(destination)
        expected = {p for p in before["boxes"] if p[0] == "Archive" or p == ("INBOX",)}
        self.assertEqual({p for p in after["boxes"]}, expected)
        self.same({"boxes": {path: before["boxes"][path] for path in expected}}, {"boxes": after["boxes"]}, UNTOLD)
        self.no_complaints()

    def test_existing_mail_is_not_touched(self):
        source, before = self.filled("maildir++")
        destination, after = self.moved(before, source, "maildir++")
        move_again = run(program("mbxexport"), "-u", "joe", "-o", here.work.dir + "/again.mbx", store(source))
        self.assertEqual(move_again[0], 0, move_again[2])
        status, _, text = run(program("mbximport"), "-i", here.work.dir + "/again.mbx", store(destination))
        self.assertEqual(status, 73, text)
        self.same(after, snapshot.take(destination))
        self.no_complaints()


class Variations(FilledBase):
    """Other ways to keep the same mail: each way in, and each way out."""

    def there_and_back(self, kind):
        source, before = self.filled("maildir++")
        middle, seen = self.moved(before, source, kind, ignore=("noselect",))
        self.moved(seen, middle, "maildir++", ignore=("noselect",))

    def test_names_in_utf8(self):
        self.there_and_back("maildir++-utf8")

    def test_control_and_index_elsewhere(self):
        self.there_and_back("maildir++-control")

    def test_dirname(self):
        self.there_and_back("fs-dirname")

    def compressed(self, how):
        """Mail that Dovecot stored compressed; moved as it is, and to a server without compression."""
        source = here.account("maildir++-" + how)
        fill.over_imap(source)
        before = snapshot.take(source)
        self.assertLess({("dot.ted",), ("~tilde",), ("back\\slash", "c.d")}, set(before["boxes"]))
        magic = {"gz": b"\x1f\x8b", "bz2": b"BZh", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"Dovecot-LZ4"}[how]
        stored = glob.glob(source.maildir + "/cur/*")
        self.assertTrue(all(open(p, "rb").read(len(magic)) == magic for p in stored) and stored)
        destination = here.account("maildir++-" + how)
        self.mark_logs()
        move(source, destination)
        verify(source, destination)
        after = snapshot.take(destination)
        self.same(before, after, UNTOLD)
        self.no_complaints()

    def test_gz(self):
        self.compressed("gz")

    def test_bz2(self):
        self.compressed("bz2")

    def test_zstd(self):
        self.compressed("zstd")

    def test_lz4(self):
        self.compressed("lz4")

    def test_sieve(self):
        source, before = self.filled("maildir++")
        destination = here.account("maildir++")
        os.mkdir(source.home + "/sieve")
        scripts = {"main": "keep;\r\n", "Ferien – Übung": "require \"vacation\";\nvacation \"x\";\n"}
        for name, text in scripts.items():
            with open("%s/sieve/%s.sieve" % (source.home, name), "w", newline="") as f:
                f.write(text)
        os.symlink("sieve/main.sieve", source.home + "/.dovecot.sieve")
        fill.own_tree(source.home)
        keys = ":SIEVE={0}/sieve:ACTIVE={0}/.dovecot.sieve"
        move(source, destination, keys=keys)
        found = {os.path.basename(p)[:-6]: open(p, newline="").read() for p in glob.glob(destination.home + "/sieve/*.sieve")}
        self.assertEqual(found, scripts)
        self.assertEqual(os.readlink(destination.home + "/.dovecot.sieve"), "sieve/main.sieve")
        self.same(before, snapshot.take(destination), UNTOLD)


class NeverOpened(MaildirBase):
    """A Maildir that only a delivery agent has seen: the UIDs are those that Dovecot gives."""

    def test_uids(self):
        source = here.account("maildir++")
        for folder in ("", "/.Sent", "/.Archive.2019"):
            path = source.maildir + folder
            for i in range(20):
                fill.deliver(source, path, fill.gen_mail.ordinary(i), (i * 7) % 20)
        fill.own_tree(source.home)
        archive = here.work.dir + "/never.mbx"
        export(source, archive)
        destination = here.account("maildir++")
        status, _, text = run(program("mbximport"), "-i", archive, store(destination))
        self.assertEqual(status, 0, text)
        before, after = snapshot.take(source), snapshot.take(destination)
        self.assertEqual(snapshot.messages(after), 60)
        self.same(before, after, ignore=UNTOLD + UNMADE)
        self.no_complaints()


class Unseen(Base):
    """Mail that no server has looked at is \\Recent: at the destination it is what it would have been at the source."""

    @staticmethod
    def recent(account):
        """UIDs of INBOX that the session of this SELECT, and no later one, sees as \\Recent."""
        found = []
        for _ in range(2):
            imap = snapshot.Imap(account)
            imap.ok("select", '"INBOX"')
            found.append(imap.ok("uid", "search", "RECENT")[0].decode())
            imap.logout()
        return found

    def arrive(self, source, numbers):
        """Delivered mail, one of it with flags, and one that another program has moved to cur/."""
        for number in numbers:
            fill.deliver(source, source.maildir, fill.gen_mail.ordinary(number), number)
        names = sorted(os.listdir(source.maildir + "/new"))
        for name, flags in zip(names[1:3], ("", "FS")):
            os.rename("%s/new/%s" % (source.maildir, name), "%s/cur/%s:2,%s" % (source.maildir, name, flags))
        fill.own_tree(source.home)

    def to_all(self, kind, looked_at):
        source = here.account(kind)
        if looked_at:
            self.arrive(source, range(4))
            fill.settle(source)
        self.arrive(source, range(4, 9))
        held, report = {}, here.work.dir + "/unseen.json"
        for to in ("maildir++", "fs", "sdbox", "mdbox", "mbox", "maildir++-control"):
            held[to] = here.account(to)
            move(source, held[to], import_options=("--report", report))
            self.assertNotIn("recent", moving.losses(report))
            verify(source, held[to])
        lost = {}
        for to, keys in (("courier", ""), ("maildir++", ":INDEX=MEMORY")):
            lost[to] = here.account(to)
            status, _, text = run(program("mbxexport"), "-u", "joe", "--force", "-o", here.work.dir + "/unseen.mbx", store(source))
            self.assertEqual(status, 0, text)
            status, _, text = run(program("mbximport"), "-i", here.work.dir + "/unseen.mbx", "--report", report,
                                  store(lost[to]) + keys)
            self.assertEqual(status, 0, text)
            self.assertEqual(moving.losses(report)["recent"], ["account: cannot be held: 5 messages in 1 mailbox"])
            verify(here.work.dir + "/unseen.mbx", store(lost[to]) + keys)
        expected = self.recent(source)
        self.assertEqual([len(uids.split()) for uids in expected], [5, 0])
        for to, account in held.items():
            self.assertEqual(self.recent(account), expected, to)
        for to, account in lost.items():
            self.assertEqual(self.recent(account), ["", ""], to)
        self.no_complaints()

    def test_dovecot_never_opened(self):
        self.to_all("maildir++", False)

    def test_dovecot(self):
        self.to_all("maildir++", True)

    def test_courier_never_opened(self):
        self.to_all("courier", False)

    def test_courier(self):
        self.to_all("courier", True)


class Corpora(MaildirBase):
    """Real mail, else the generator's: everything delivered, moved, read back."""

    big = BIG

    def corpus(self):
        """[(name, folder or None)] of the corpora, unpacked."""
        place = os.environ.get("MBX_CORPUS") or os.path.join(TOP, "..", "shared", "corpus")
        archives = sorted(glob.glob(os.path.join(place, "*.tar.zst")))
        found = []
        for path in archives:
            name = os.path.basename(path)[:-len(".tar.zst")]
            folder = here.work.mkdir("corpus", name)
            zstd = subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", folder], stdin=zstd.stdout, check=True)
            zstd.stdout.close()
            self.assertEqual(zstd.wait(), 0)
            found.append((name, folder))
        return found

    def delivered(self, kind, corpora):
        source = here.account(kind)
        if kind == "courier":
            here.courier.make_maildir(source)
        count = 0
        for name, folder in corpora:
            target = source.maildir + "/." + name
            for _, data in fill.corpus_messages(folder, self.big):
                fill.deliver(source, target, data, count)
                count += 1
        for sub in ("cur", "new", "tmp"):
            os.makedirs(source.maildir + "/" + sub, 0o700, exist_ok=True)
        fill.own_tree(source.home)
        fill.settle(source)
        return source, count

    def whole(self, kind, to, corpora, ignore=()):
        source, count = self.delivered(kind, corpora)
        before = snapshot.take(source)
        self.assertEqual(snapshot.messages(before), count)
        return self.moved(before, source, to, ignore)

    def test_generated_dovecot(self):
        self.whole("maildir++", "maildir++", [("nasty", None)])

    def test_generated_courier(self):
        self.whole("courier", "courier", [("nasty", None)])

    def test_generated_to_dbox(self):
        self.big = 1 << 20
        for kind in ("sdbox", "mdbox"):
            self.whole("maildir++", kind, [("nasty", None)])

    def to_mbox(self, corpora):
        """The messages that mbox cannot hold as they are, and no others, are in the loss report."""
        source, _ = self.delivered("maildir++", corpora)
        before = snapshot.take(source)
        destination = here.account("mbox")
        report = "%s/%s.json" % (here.work.dir, destination.name)
        self.mark_logs()
        move(source, destination, import_options=("--report", report))
        lost = [text for kind, texts in moving.losses(report).items() if kind in ("line-ends", "header-fields") for text in texts]
        after = snapshot.take(destination)
        self.same(before, after, UNTOLD + TO_MBOX + ("body", "body_size", "size", "text", "pop3-size"))
        changed = sum(message["body"] != after["boxes"][path]["messages"][uid]["body"]
                      for path, box in before["boxes"].items() for uid, message in box["messages"].items())
        self.assertEqual(changed, sum(int((re.findall(r"\((\d+) times\)", text) or [1])[0]) for text in lost), lost)
        self.same(after, snapshot.take(destination))
        self.no_complaints()

    def test_generated_to_mbox(self):
        self.big = 1 << 20
        self.to_mbox([("nasty", None)])

    def test_real_mail_to_dbox_and_mbox(self):
        odd = [c for c in self.corpus() if "-bulk-" not in c[0]]
        if not odd:
            self.skipTest("no corpus folder: the generator's mail stands in for it")
        self.whole("maildir++", "mdbox", odd)
        self.to_mbox(odd)

    def test_line_ends_to_courier(self):
        """What Dovecot stored with CRLF, LF or both is the same for a client of Courier, byte for byte."""
        source, destination = here.account("maildir++"), here.account("courier")
        for n, data in enumerate((b"Subject: crlf\r\n\r\na\r\nb\r\n", b"Subject: lf\n\na\nb\n", b"Subject: mixed\n\r\na\r\nb\n",
                                  b"Subject: bare\n\na\rb\r\rc\n", b"Subject: no end\r\n\r\nx")):
            fill.deliver(source, source.maildir, data, n)
        fill.own_tree(source.home)
        fill.settle(source)
        before = snapshot.take(source)["boxes"]
        move(source, destination)
        after = snapshot.take(destination)["boxes"]
        self.same({"boxes": before}, {"boxes": after}, UNTOLD + ("acl",))

    def test_generated_dovecot_to_courier(self):
        self.whole("maildir++", "courier", [("nasty", None)], TO_COURIER + COURIER_ENDS + ("pop3",))

    def test_real_mail(self):
        corpora = self.corpus()
        if not corpora:
            self.skipTest("no corpus folder: the generator's mail stands in for it")
        destination, seen = self.whole("maildir++", "maildir++", corpora)
        odd = [c for c in corpora if "-bulk-" not in c[0]]
        self.whole("courier", "maildir++", odd, FROM_COURIER + COURIER_ENDS)
        self.whole("maildir++", "courier", odd, TO_COURIER + COURIER_ENDS + ("pop3",))
        shutil.rmtree(destination.maildir)

    def test_real_stores(self):
        """Each Maildir in the corpora as it lies there: names, flags, UID lists of other programs."""
        count = 0
        for name, folder in self.corpus():
            for root, dirs, _ in os.walk(folder):
                if "cur" in dirs or "new" in dirs:
                    self.one_store(root)
                    count += 1
        if not count:
            self.skipTest("no corpus folder")

    def one_store(self, root):
        source, destination = here.account("maildir++"), here.account("maildir++")
        # The corpora have lost the files' dates; a cache tells what they were once.
        shutil.copytree(root, source.maildir, symlinks=True, ignore=shutil.ignore_patterns("dovecot.index.cache"))
        for sub in ("cur", "new", "tmp"):
            os.makedirs(source.maildir + "/" + sub, 0o700, exist_ok=True)
        fill.own_tree(source.home)
        archive = "%s/%s.mbx" % (here.work.dir, source.name)
        export(source, archive)
        status, _, text = run(program("mbximport"), "-i", archive, store(destination))
        self.assertEqual(status, 0, text)
        verify(archive, destination)
        self.mark_logs()
        after = snapshot.take(destination)
        self.no_complaints()
        try:
            before = snapshot.take(source)
        except snapshot.Imap.abort:
            # Names that tell wrong sizes: Dovecot cannot read these messages where they come from.
            files = sum(len(os.listdir(root + "/" + sub)) for sub in ("cur", "new") if os.path.isdir(root + "/" + sub))
            self.assertEqual(len(after["boxes"][("INBOX",)]["messages"]), files)
            return
        # Without a UID list neither UIDVALIDITY nor a UIDL made of it is there to be kept, and all mail is new.
        known = os.path.exists(root + "/dovecot-uidlist")
        self.same(before, after, UNTOLD + (() if known else UNMADE + ("uidnext",)))


class PlainTools(Base):
    """The archive is tar in zstd: anybody's tools read it, without a word of warning."""

    @classmethod
    def setUpClass(cls):
        cls.source = here.account("maildir++")
        fill.over_imap(cls.source)
        fill.deliver(cls.source, cls.source.maildir, fill.gen_mail.noise(9 << 20, 3), 900)
        for n, (_, data) in enumerate(fill.gen_mail.nasty(1 << 20)):
            fill.deliver(cls.source, cls.source.maildir + "/.nasty", data, n)
        fill.own_tree(cls.source.home)
        fill.settle(cls.source)
        cls.archive = here.work.dir + "/tools.mbx"
        export(cls.source, cls.archive)
        cls.bodies = sorted(cls.digest(p) for p in glob.glob(cls.source.maildir + "/**/cur/*", recursive=True) +
                            glob.glob(cls.source.maildir + "/.*/cur/*"))

    @staticmethod
    def digest(path):
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def shell(self, line):
        done = subprocess.run(["bash", "-c", "set -o pipefail; " + line], capture_output=True, cwd=here.work.dir,
                              env=clean_environment())
        self.assertEqual((done.returncode, done.stderr.decode("utf-8", "replace")), (0, ""), line)
        return done.stdout.decode("utf-8", "surrogateescape")

    def extracted(self, line):
        target = here.work.dir + "/extracted"
        shutil.rmtree(target, ignore_errors=True)
        os.mkdir(target)
        self.shell(line.format(archive=self.archive, target=target))
        found = sorted(self.digest(p) for p in self.emls(target))
        self.assertEqual(found, self.bodies)
        return target

    @staticmethod
    def emls(folder):
        return [os.path.join(root, f) for root, _, files in os.walk(folder) for f in files if f.endswith(".eml")]

    def test_zstd_tests_it(self):
        self.shell("zstd -tq " + self.archive)

    def test_tar_lists(self):
        listed = self.shell("zstd -dc %s | tar -tvf -" % self.archive)
        self.assertEqual(sum(line.split(" link to ")[0].endswith(".eml") for line in listed.splitlines()), len(self.bodies))

    def test_tar_extracts(self):
        self.extracted("zstd -dc {archive} | tar -xf - -C {target}")

    def test_tar_with_zstd_option(self):
        self.extracted("tar --zstd -xf {archive} -C {target}")

    def test_bsdtar(self):
        self.extracted("bsdtar -xf {archive} -C {target}")

    def test_python_tarfile(self):
        plain = here.work.dir + "/tools.tar"
        self.shell("zstd -dcq %s -o %s -f" % (self.archive, plain))
        found = []
        with tarfile.open(plain) as tar:
            for member in tar:
                if member.name.endswith(".eml"):
                    found.append(hashlib.sha256(tar.extractfile(member).read()).hexdigest())
        self.assertEqual(sorted(found), self.bodies)

    def test_dates(self):
        target = self.extracted("zstd -dc {archive} | tar -xf - -C {target}")
        stored = sorted(int(os.stat(p).st_mtime) for p in glob.glob(self.source.maildir + "/.*/cur/*") +
                        glob.glob(self.source.maildir + "/cur/*"))
        self.assertEqual(sorted(int(os.stat(p).st_mtime) for p in self.emls(target)), stored)

    def test_verify_and_list(self):
        verify(self.archive)
        verify(self.archive, self.source)
        status, out, text = run(program("mbxverify"), "--list", self.archive)
        self.assertEqual(status, 0, text)
        self.assertIn(b"nasty", out)


class Broken(Base):
    """A move that does not reach its end leaves nothing to be seen, and says so by its status."""

    def visible(self, destination):
        """What an administrator finds at the destination, staging aside."""
        if not os.path.isdir(destination.home):
            return []
        return [n for n in os.listdir(destination.home) if not n.startswith(".mbx-") and n != "dovecot-attributes"]

    def big_source(self):
        source = here.account("maildir++")
        for n in range(40):
            fill.deliver(source, source.maildir, fill.gen_mail.noise(1 << 20, n), n)
        fill.own_tree(source.home)
        fill.settle(source)
        return source

    def test_ssh_is_lost(self):
        source = self.big_source()
        for wait_for in (1, 8 << 20, 30 << 20):
            destination = here.account("maildir++")
            remote = moving.shell_words([moving.for_owner(here.work, program("mbxexport")), "-u", "joe", "--bwlimit",
                                         "20M", store(source)])
            ssh = subprocess.Popen(here.sshd.command(remote), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=here.sshd.client_env)
            importer = subprocess.Popen([program("mbximport"), store(destination)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment())
            passed = 0
            while passed < wait_for:
                data = ssh.stdout.read1(65536)
                self.assertTrue(data, "the stream ended by itself after %d bytes" % passed)
                importer.stdin.write(data)
                passed += len(data)
            ssh.send_signal(signal.SIGKILL)
            try:
                shutil.copyfileobj(ssh.stdout, importer.stdin)
            except BrokenPipeError:
                pass
            importer.stdin.close()
            text = importer.stdout.read().decode("utf-8", "replace")
            importer.stdout.close()
            status = importer.wait()
            ssh.wait()
            ssh.stdout.close()
            ssh.stderr.close()
            self.assertIn(status, (65, 74), text)
            self.assertEqual(self.visible(destination), [], text)
            move(source, destination)  # and the next try succeeds, over whatever is left
            verify(source, destination)

    def test_importer_is_killed(self):
        source = self.big_source()
        before = snapshot.take(source)
        destination = here.account("maildir++")
        for wait_for in (1, 4 << 20, 16 << 20, 35 << 20):
            exporter = subprocess.Popen([program("mbxexport"), "-u", "joe", store(source)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
            importer = subprocess.Popen([program("mbximport"), store(destination)], stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
            passed = 0
            while passed < wait_for:
                data = exporter.stdout.read1(65536)
                importer.stdin.write(data)
                passed += len(data)
            importer.kill()
            importer.wait()
            exporter.stdout.close()
            text = exporter.stderr.read().decode("utf-8", "replace")
            exporter.stderr.close()
            self.assertEqual(exporter.wait(), 74, text)
            try:
                importer.stdin.close()
            except BrokenPipeError:
                pass
            self.assertEqual(self.visible(destination), [])
        self.mark_logs()
        move(source, destination)
        self.same(before, snapshot.take(destination), UNTOLD)
        self.no_complaints()
        self.assertEqual([n for n in os.listdir(destination.home) if n.startswith(".mbx-")], [])

    def move_live(self, *options):
        """Delivery and a client at work while the export runs."""
        source = self.big_source()
        before = snapshot.take(source)
        exporter = subprocess.Popen([program("mbxexport"), "-u", "joe", "--bwlimit", "20M", "--force", "-o",
                                     here.work.dir + "/live.mbx", *options, store(source)],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env=clean_environment())
        imap = snapshot.Imap(source)
        imap.ok("select", '"INBOX"')
        n = 0
        while exporter.poll() is None:
            fill.deliver(source, source.maildir, b"Subject: new %d\n\nnew\n" % n, 5000 + n)
            imap.ok("store", str(1 + n % 40), "FLAGS" if n % 2 else "+FLAGS", "(\\Seen \\Flagged)")
            n += 1
            time.sleep(0.01)
        imap.logout()
        text = exporter.communicate()[1].decode("utf-8", "replace")
        self.assertEqual(exporter.returncode, 0, text)
        self.assertGreater(n, 5)
        destination = here.account("maildir++")
        status, _, text = run(program("mbximport"), "-i", here.work.dir + "/live.mbx", store(destination))
        self.assertEqual(status, 0, text)
        first, last, moved = (taken["boxes"][("INBOX",)]["messages"]
                              for taken in (before, snapshot.take(source), snapshot.take(destination)))
        self.assertLessEqual(set(first), set(moved))
        for uid, message in moved.items():
            self.assertEqual(message["body"], last[uid]["body"], uid)
        self.assertEqual([n for n in os.listdir(source.maildir) if n.endswith(".lock")], [])

    def test_frozen_sees_what_only_the_index_has(self):
        """The 27th keyword of a mailbox has no letter in file names."""
        source = self.big_source()
        imap = snapshot.Imap(source)
        imap.ok("select", '"INBOX"')
        for keyword in fill.KEYWORDS[:fill.MAILDIR_KEYWORDS]:
            imap.ok("store", "1", "+FLAGS", "(%s)" % keyword)
        names = sorted(os.listdir(source.maildir + "/cur"))
        for keyword, want in ((None, 0), (fill.KEYWORDS[fill.MAILDIR_KEYWORDS], 75)):
            exporter = subprocess.Popen([program("mbxexport"), "-u", "joe", "--frozen", store(source)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=clean_environment())
            exporter.stdout.read(1 << 20)
            if keyword:
                imap.ok("store", "1", "+FLAGS", "(%s)" % keyword)
            text = exporter.communicate()[1].decode("utf-8", "replace")
            self.assertEqual(exporter.returncode, want, text)
        self.assertEqual(sorted(os.listdir(source.maildir + "/cur")), names)
        imap.logout()

    def test_mail_arrives_while_reading(self):
        """No harm: what was there is there, and new mail has the UIDs that Dovecot gave it."""
        self.move_live()

    def test_mail_arrives_while_locked(self):
        """The same with Dovecot's lock, which is gone afterwards."""
        self.move_live("--lock")
