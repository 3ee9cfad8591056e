"""--lock: while mbxexport holds a store's own lock, a session of the real server waits, and goes on afterwards."""
import glob
import os
import select
import signal
import subprocess

import fill
import moving
import snapshot
from harness import Base, here
from servers import clean_environment

# (kind, how many locks are held, the commands that wait, those that do not)
HELD = {
    "maildir": ("maildir++", 1, ("append", "store"), ()),
    "sdbox": ("sdbox", 1, ("append", "store"), ()),
    "mdbox_map": ("mdbox", 1, ("append",), ("store",)),
    "mdbox": ("mdbox", 2, ("append", "store"), ()),
    "mbox_dotlock": ("mbox", 1, ("append",), ()),
    "mbox": ("mbox", 2, ("append",), ("store",)),
}
COMMANDS = {"append": b"APPEND INBOX {18+}\r\nSubject: late\r\n\r\nx", "store": b"STORE 1 +FLAGS (\\Flagged)"}


class Session(snapshot.Imap):
    """A client that can send a command and look for the answer later."""

    def __init__(self, account):
        super().__init__(account)
        self.ok("select", '"INBOX"')

    def begin(self, command):
        self.pending = self._new_tag()
        self.send(self.pending + b" " + COMMANDS[command] + b"\r\n")

    def answers(self, seconds):
        """Is there an answer within this time?"""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def end(self):
        status, data = self._command_complete("NOOP", self.pending)
        assert status == "OK", data


class Locks(Base):
    def hold(self, kind, locks, waiting, passing):
        account, other = here.account(kind), here.account(kind)
        for one in (account, other):
            imap = snapshot.Imap(one)
            for number in range(5):
                fill.append(imap, ("INBOX",), fill.gen_mail.ordinary(number, 3), number)
            imap.logout()
        sessions = {command: Session(account) for command in waiting + passing}
        control = {command: Session(other) for command in waiting}
        archive = "%s/%s.mbx" % (here.work.dir, account.name)
        exporter = subprocess.Popen(
            [moving.program("mbxexport"), "-u", "joe", "--lock", "-o", archive, moving.store(account)], stderr=subprocess.PIPE,
            env=dict(clean_environment(), LD_PRELOAD=here.work.stopper, MBX_STOP_AT=str(locks),
                     ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"))
        _, status = os.waitpid(exporter.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status), status)
        try:
            for command in passing:
                sessions[command].begin(command)
                sessions[command].end()
            for command in waiting:
                sessions[command].begin(command)
            # The same commands to an account that nobody holds are done meanwhile, in much less time than this.
            for command in waiting:
                control[command].begin(command)
                control[command].end()
            for command in waiting:
                self.assertFalse(sessions[command].answers(0.5), command)
        finally:
            exporter.send_signal(signal.SIGCONT)
        for command in waiting:
            self.assertTrue(sessions[command].answers(60), command)
            sessions[command].end()
        text = exporter.communicate()[1].decode("utf-8", "replace")
        self.assertEqual(exporter.returncode, 0, text)
        for session in (*sessions.values(), *control.values()):
            session.logout()
        self.assertEqual(glob.glob(account.home + "/**/*.lock", recursive=True), [])
        self.no_complaints()
        moving.verify(archive)


for name, how in HELD.items():
    setattr(Locks, "test_" + name, lambda self, how=how: self.hold(*how))
