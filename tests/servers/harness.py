"""What the tests of real servers share: the servers, the comparisons, and the run over all of them.

One Work directory with one Dovecot, one Courier and one sshd in each worker process; a worker takes tests until there
are none. Tests of a class that makes something for all of them (setUpClass) stay together.
"""
import multiprocessing
import os
import sys
import time
import unittest

import fill
import moving
import snapshot
from names import snapshot_in
from servers import GID, IS_ROOT, UID, Courier, Dovecot, Sshd, Work


class Servers:
    """Those of this process, started by the first test that needs them."""

    def __init__(self):
        self.work = self.dovecot = self.courier = self.sshd = None
        self.number = 0
        self.template = None

    def start(self):
        if self.work is None:
            self.work = Work()
            self.dovecot, self.courier, self.sshd = (kind(self.work).start() for kind in (Dovecot, Courier, Sshd))

    def stop(self):
        for server in (self.dovecot, self.courier, self.sshd):
            if server is not None:
                server.stop()
        if os.environ.get("MBX_TEST_KEEP"):
            print("kept: " + self.work.dir, file=sys.stderr)
        elif self.work is not None:
            self.work.remove()

    def account(self, kind):
        """A new account; kind is "courier" or one of Dovecot.KINDS."""
        if kind != "courier":
            return self.dovecot.account(kind)
        self.number += 1
        return self.courier.account("courier%d" % self.number)

    def migrated(self):
        """A Maildir that a migration has left, to begin accounts with."""
        if self.template is None:
            self.template = self.work.mkdir("migrated")
            fill.make_migrated(self.template)
        return self.template

    def logs(self):
        return self.dovecot.log, self.courier.log


here = Servers()


class Base(unittest.TestCase):
    def setUp(self):
        self.mark_logs()

    @staticmethod
    def mark_logs():
        for log in here.logs():
            log.set_mark()

    def same(self, before, after, ignore=()):
        lines = snapshot.diff(before, after, ignore)
        self.assertFalse(lines, "\n" + "\n".join(lines))

    def no_complaints(self):
        found = [line for log in here.logs() for line in log.complaints()]
        self.assertFalse(found, "\n" + "\n".join(found))

    def moved(self, before, source, kind, ignore=(), **more):
        """Moves source to a new account, compares it, and returns the new account and what a client sees there."""
        destination = here.account(kind)
        self.mark_logs()
        moving.move(source, destination, **more)
        # Before any server has touched it; a Courier store cannot hold what the archive may know.
        moving.verify(source, destination)
        after = snapshot.take(destination)
        self.same(snapshot_in(kind, before), after, ignore)
        self.no_complaints()
        # And again: what the server made of its first look has to be the same at the second.
        self.same(after, snapshot.take(destination))
        self.no_complaints()
        self.owned(destination)
        return destination, after

    def owned(self, destination):
        """Everything belongs to the mail owner and to nobody else."""
        for root, dirs, files in os.walk(destination.home):
            for name in dirs + files:
                info = os.lstat(os.path.join(root, name))
                self.assertEqual((info.st_uid, info.st_gid), (UID, GID), os.path.join(root, name))


class Use(Base):
    """Mail goes on after a move."""

    def use(self, account, seen):
        """Mail goes on: new mail has the next UID, flags stay, what is expunged is gone. In some of the mailboxes."""
        used = dict(list(seen["boxes"].items())[::5])
        imap = snapshot.Imap(account)
        for path, box in used.items():
            wire = snapshot.quote(imap.wire(path))
            answer = imap.ok("append", wire, "(\\Flagged new)", None, b"Subject: new\r\n\r\nnew\r\n")
            if not account.is_courier:
                self.assertIn(b"APPENDUID %d %d" % (box["uidvalidity"], box["uidnext"]), answer[0], path)
            imap.ok("select", wire)
            imap.ok("store", "1", "+FLAGS", "(\\Deleted)")
            imap.ok("store", "1:*", "+FLAGS", "(\\Answered)")
            imap.ok("expunge")
        imap.logout()
        now = snapshot.take(account)
        for path, box in used.items():
            before, after = box["messages"], now["boxes"][path]["messages"]
            left = [uid for uid in list(before)[1:] if "\\Deleted" not in before[uid]["flags"]]
            self.assertEqual(list(after), (left + [box["uidnext"]])[not before:], path)
            for uid in left:
                flags = tuple(sorted(set(before[uid]["flags"]) | {"\\Answered"}))
                self.assertEqual((after[uid]["body"], after[uid]["flags"]), (before[uid]["body"], flags), path)
        for path in set(seen["boxes"]) - set(used):
            self.assertEqual(now["boxes"][path]["messages"], seen["boxes"][path]["messages"], path)


class Result(unittest.TestResult):
    """What became of one group of tests: a line each, and for a failure its text."""

    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def tell(self, word, test, text=""):
        seconds = time.monotonic() - getattr(self, "began", time.monotonic())
        self.queue.put((word, "%-8s %6.1f s  %s" % (word, seconds, test.id()), text))

    def addSuccess(self, test):
        self.tell("ok", test)

    def addError(self, test, err):
        self.tell("ERROR", test, self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        self.tell("FAILED", test, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.tell("skipped", test, reason)


def groups(modules, patterns):
    """Lists of tests that one process has to run in one go."""
    loader = unittest.TestLoader()
    if patterns:
        loader.testNamePatterns = ["*%s*" % p for p in patterns]
    found = []
    for module in modules:
        for suite in loader.loadTestsFromModule(module):
            tests = list(suite)
            if tests and "setUpClass" in {name for c in type(tests[0]).__mro__[:-2] for name in vars(c)}:
                found.append(tests)
            else:
                found += [[test] for test in tests]
    return found


def worker(pending, index, results):
    """Runs groups until there are none left; index is the next of them, shared by all workers."""
    try:
        while True:
            with index.get_lock():
                at, index.value = index.value, index.value + 1
            if at >= len(pending):
                break
            here.start()
            unittest.TestSuite(pending[at]).run(Result(results))
    finally:
        if here.work is not None:
            here.stop()
        results.put(None)


def run(modules, patterns, jobs):
    """Runs the chosen tests; returns the exit status."""
    began = time.monotonic()
    pending = groups(modules, patterns)
    context = multiprocessing.get_context("fork")
    results, index = context.Queue(), context.Value("i", 0)
    workers = [context.Process(target=worker, args=(pending, index, results)) for _ in range(min(jobs, len(pending)))]
    for process in workers:
        process.start()
    left, counts, texts = len(workers), {}, []
    while left:
        result = results.get()
        if result is None:
            left -= 1
            continue
        word, line, text = result
        counts[word] = counts.get(word, 0) + 1
        print(line, flush=True)
        if text:
            texts.append("%s\n%s" % (line, text))
    for process in workers:
        process.join()
    print("\n".join(texts))
    bad = counts.get("FAILED", 0) + counts.get("ERROR", 0) + sum(p.exitcode != 0 for p in workers)
    print("%d tests, %d failed, %d skipped, %d s%s" % (
        sum(counts.values()), bad, counts.get("skipped", 0), time.monotonic() - began, " (as root)" if IS_ROOT else ""))
    return 1 if bad or not counts else 0
