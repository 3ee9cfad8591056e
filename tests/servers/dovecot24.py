"""What mbximport writes, opened by Dovecot 2.4 in a root of its own (tests/servers/fetch24); root only.

Accounts are filled by Dovecot 2.3, moved to each format, and read, used and read again over 2.4's IMAP and POP3.
"""
import os
import subprocess
import sys

import fill
import harness
import moving
import snapshot
from harness import Use, here
from names import snapshot_in
from servers import ACCOUNT, GID, PASSWORD, TOP, UID, Account, Dovecot, Log, free_port

ROOT = os.path.join(TOP, "build", "trixie")

CONFIG = """
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
log_timestamp = ""
protocols = imap pop3
listen = 127.0.0.1
ssl = no
auth_allow_cleartext = yes
auth_username_chars =
auth_username_format = %{{user}}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 100
mail_fsync = never
mailbox_list_drop_noselect = no
mail_attribute {{
  dict file {{
    path = %{{home}}/dovecot-attributes
  }}
}}
mail_plugins {{
  acl = yes
}}
acl_driver = vfile
protocol imap {{
  mail_plugins {{
    imap_acl = yes
  }}
  imap_metadata = yes
}}
protocol pop3 {{
  pop3_save_uidl = yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
passdb passwd-file {{
  passwd_file_path = {dir}/users
}}
userdb passwd-file {{
  passwd_file_path = {dir}/users
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Trash {{
    special_use = \\Trash
  }}
}}
"""

# The store and the settings of a user; {home} is the same directory, seen from outside and from inside. Last, the kind
# whose names it has, if that is another.
KINDS = {
    "maildir++": ("maildir:{home}/Maildir", "mail_driver=maildir mail_path={home}/Maildir"),
    "fs": ("maildir:{home}/Maildir:LAYOUT=fs", "mail_driver=maildir mail_path={home}/Maildir mailbox_list_layout=fs"),
    "maildir-list": ("maildir:{home}/Maildir:LAYOUT=index",
                     "mail_driver=maildir mail_path={home}/Maildir mailbox_list_layout=index"),
    "sdbox": ("sdbox:{home}/sdbox", "mail_driver=sdbox mail_path={home}/sdbox"),
    "sdbox-list": ("sdbox:{home}/sdbox:LAYOUT=index", "mail_driver=sdbox mail_path={home}/sdbox mailbox_list_layout=index"),
    "mdbox": ("mdbox:{home}/mdbox", "mail_driver=mdbox mail_path={home}/mdbox"),
    "mdbox-list": ("mdbox:{home}/mdbox:LAYOUT=index", "mail_driver=mdbox mail_path={home}/mdbox mailbox_list_layout=index"),
    "mbox": ("mbox:{home}/mail:INBOX={home}/inbox", "mail_driver=mbox mail_path={home}/mail mail_inbox_path={home}/inbox"),
    "mbox-plus": ("mbox:{home}/mail:LAYOUT=maildir++:SUBSCRIPTIONS=subs",
                  "mail_driver=mbox mail_path={home}/mail mailbox_list_layout=maildir++ mailbox_subscriptions_filename=subs",
                  "maildir++"),
    "mbox-list": ("mbox:{home}/mail:LAYOUT=index", "mail_driver=mbox mail_path={home}/mail mailbox_list_layout=index"),
}
# What each driver does not hold.
UNLIKE = {
    "maildir": ("savedate", "noselect"),
    "sdbox": ("savedate",),
    "mdbox": (),
    "mbox": ("savedate", "guid", "uidl", "uidl_order", "pop3-uidl", "pop3-size", "noselect"),
}


class Dovecot24(Dovecot):
    """Dovecot 2.4 of Debian 13; its files lie below that root, and it sees them from inside."""

    def __init__(self):
        self.inside = "/srv/mbx.%d" % os.getpid()
        self.dir = ROOT + self.inside
        self.imap, self.pop3 = free_port(), free_port()
        for sub in ("", "/run", "/state", "/home"):
            os.mkdir(self.dir + sub, 0o755)
            os.chown(self.dir + sub, UID, GID)
        self.log = Log(self.dir + "/log")
        group = subprocess.run(["id", "-gn", ACCOUNT.pw_name], capture_output=True, text=True).stdout.strip()
        with open(self.dir + "/dovecot.conf", "w") as f:
            f.write(CONFIG.format(dir=self.inside, user=ACCOUNT.pw_name, group=group, imap=self.imap, pop3=self.pop3))
        self.master = self.command("master", "/usr/sbin/dovecot", "-F")
        self.process = None
        self.declare()

    def command(self, service, program, *args):
        return ["chroot", "--userspec=%d:%d" % (UID, GID), ROOT, program, "-c", self.inside + "/dovecot.conf", *args]

    def env(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC0"}

    @staticmethod
    def drop():
        return {}  # chroot needs to be root, and drops it

    def declare(self):
        self.accounts = {}
        with open(self.dir + "/users", "w") as f:
            for kind, (store, settings, *_) in KINDS.items():
                home = "/home/" + kind.replace("+", "")
                os.mkdir(self.dir + home, 0o700)
                os.chown(self.dir + home, UID, GID)
                f.write("%s:{PLAIN}%s:%d:%d::%s::%s\n" % (kind, PASSWORD, UID, GID, self.inside + home, " ".join(
                    "userdb_" + word for word in settings.format(home=self.inside + home).split())))
                self.accounts[kind] = Account(self, kind, kind, self.dir + home, store.format(home=self.dir + home), "", "", "/",
                                              False)

    def remove(self):
        subprocess.run(["rm", "-rf", "--one-file-system", self.dir], check=True)


class Opened(Use):
    """One account of Dovecot 2.3 in each format for 2.4."""

    @classmethod
    def setUpClass(cls):
        cls.server = Dovecot24()
        cls.addClassCleanup(cls.server.remove)
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.source = here.account("mdbox")
        fill.whole(cls.source, here.migrated())
        cls.before = snapshot.take(cls.source)

    def opened(self, kind):
        account = self.server.accounts[kind]
        store, _, *names = KINDS[kind]
        moving.move(self.source, account)
        self.server.log.set_mark()
        after = snapshot.take(account)
        self.same(snapshot_in(names[0] if names else kind, self.before), after, UNLIKE[store.split(":")[0]])
        self.same(after, snapshot.take(account))
        self.use(account, after)
        self.assertEqual(self.server.log.complaints(), [])


for name in KINDS:
    setattr(Opened, "test_" + name, lambda self, name=name: self.opened(name))


if __name__ == "__main__":
    sys.exit(harness.run([sys.modules["__main__"]], sys.argv[1:], 1))
