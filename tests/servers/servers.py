"""Private Dovecot, Courier and OpenSSH servers for the tests.

Each runs from the packages that tests/servers/fetch unpacked, listens on a free port of 127.0.0.1,
keeps everything it writes below one work directory and is ended by its process id. All of them run as
the caller, or as "nobody" when the caller is root, so that both ways are one.
"""
import base64
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import typing

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IS_ROOT = os.geteuid() == 0
UID = 65534 if IS_ROOT else os.getuid()
ACCOUNT = pwd.getpwuid(UID)
GID = ACCOUNT.pw_gid
PASSWORD = "secret"

# Words that a server's log must not hold after an import.
COMPLAINT = re.compile(
    r"\b(error|warning|panic|fatal|corrupt\w*|rebuild\w*|renam\w*|broken|invalid|duplicate|inconsisten\w*|fixed|"
    r"unexpected\w*|not ordered|lost)\b", re.IGNORECASE)


def drop():
    """Popen arguments that make a child run as the mail owner."""
    return {"user": UID, "group": GID, "extra_groups": []} if IS_ROOT else {}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=30):
    """Returns once something accepts connections there; raises if the process ends or time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError("server ended with %d" % process.returncode)
            if time.monotonic() > end:
                raise RuntimeError("no answer on port %d" % port)
            time.sleep(0.02)


def stop(process):
    """Ends one process by its id, kindly first."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def readable_by_owner(path):
    """May the mail owner walk to this path?"""
    if not IS_ROOT:
        return True
    path = os.path.realpath(path)
    while True:
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


class Work:
    """A temporary directory of the mail owner, and the unpacked servers where that owner can run them."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mbx.", dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.dir, 0o755)
        self.own(self.dir)
        self.packages = os.path.join(TOP, "build", "servers")
        if not readable_by_owner(self.packages):
            shutil.copytree(self.packages, self.dir + "/servers", symlinks=True)
            self.packages = self.dir + "/servers"
        self.preload, self.stopper = self.library("preload"), self.library("stopper")

    def library(self, name):
        """One of ours, to be preloaded."""
        path = "%s/%s.so" % (self.dir, name)
        subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path,
                        os.path.join(TOP, "tests/servers", name + ".c")], check=True)
        os.chmod(path, 0o755)
        return path

    @staticmethod
    def own(path):
        if IS_ROOT:
            os.chown(path, UID, GID)

    def mkdir(self, *parts):
        path = self.dir
        for part in "/".join(parts).split("/"):
            path = os.path.join(path, part)
            if not os.path.isdir(path):
                os.mkdir(path, 0o700 if path != self.dir else 0o755)
                self.own(path)
        return path

    def write(self, path, text, mode=0o600):
        path = os.path.join(self.dir, path)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        self.own(path)
        return path

    def libraries(self, name):
        root = os.path.join(self.packages, name)
        arch = os.uname().machine + "-linux-gnu"
        return ":".join(os.path.join(root, d) for d in (
            "usr/lib/" + arch, "lib/" + arch, "usr/lib", "lib", "usr/lib/dovecot", "usr/lib/dovecot/modules",
            "usr/lib/dovecot/modules/old-stats",
            "usr/lib/courier-authlib", "usr/lib/" + arch + "/courier-authlib"))

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Log:
    """A server's log file, read from a mark on."""

    def __init__(self, path):
        self.path = path
        self.mark = 0

    def text(self):
        try:
            with open(self.path, encoding="utf-8", errors="backslashreplace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def set_mark(self):
        self.mark = len(self.text())

    def since_mark(self):
        return self.text()[self.mark:]

    def complaints(self):
        """Lines since the mark that complain of anything but a machine that is slow."""
        return [line for line in self.since_mark().splitlines() if COMPLAINT.search(line) and "Time moved forwards" not in line]


class Kind(typing.NamedTuple):
    """A way to keep mail: how many accounts there are of it, and how they are set up."""
    count: int
    location: str      # mail_location
    fields: str = ""   # of the user database: settings of this user
    keys: str = ""     # what a STORE argument has besides
    reading: str = ""  # and what it has if it is read


# Fields of a Dovecot user with more plugins (without imap_acl, which pop3 would not load).
PLUGINS, ESCAPE = "userdb_mail_plugins=acl,zlib,listescape", ":ESCAPE=\\"
APART = ":INDEX={home}/index:CONTROL={home}/control"
ATTACHED = "userdb_mail_attachment_dir={home}/attached userdb_mail_attachment_min_size=1k"
# What is saved is encrypted: with one key for all, or with keys of the user and of folders.
CRYPT = ("userdb_mail_plugins=acl,mail_crypt userdb_mail_crypt_save_version=2 userdb_mail_crypt_global_public_key={public} "
         "userdb_mail_crypt_global_private_key={private}")
CRYPT_KEYS = "userdb_mail_plugins=acl,mail_crypt userdb_mail_crypt_save_version=2 userdb_mail_crypt_curve=prime256v1"
KEEP = ":ENCRYPTED=keep"
# Logs of index files that are rotated, and main index files that are written, after a few changes.
ROTATING = ("userdb_mail_index_log_rotate_max_size=1k userdb_mail_index_log_rotate_min_size=512 "
            "userdb_mail_index_rewrite_min_log_bytes=512")


class Dovecot:
    """One Dovecot for any number of accounts, each with a mail_location of its own."""

    CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
libexec_dir = {root}/usr/lib/dovecot
mail_plugin_dir = {root}/usr/lib/dovecot/modules
log_path = {dir}/log
log_timestamp = ""
import_environment = TZ LD_LIBRARY_PATH={libraries} LD_PRELOAD={preload} MBX_TEST_DOVECOT={root}/usr/lib/dovecot
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_chars =
auth_username_format =
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_vsz_limit = 1G
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 100
mail_attribute_dict = file:%h/dovecot-attributes
maildir_stat_dirs = yes
mail_fsync = never
mail_plugins = acl
mmap_disable = no
auth_mechanisms = plain
service anvil {{
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
service stats {{
  chroot =
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {dir}/users
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
protocol imap {{
  mail_plugins = acl imap_acl
  imap_metadata = yes
}}
protocol pop3 {{
  pop3_save_uidl = yes
}}
plugin {{
  acl = vfile
  acl_anyone = allow
}}
"""

    KINDS = {
        "maildir++": Kind(150, "maildir:{home}/Maildir"),
        "fs": Kind(40, "maildir:{home}/Maildir:LAYOUT=fs"),
        "sdbox": Kind(40, "sdbox:{home}/sdbox"),
        "mdbox": Kind(60, "mdbox:{home}/mdbox"),
        "mbox": Kind(40, "mbox:{home}/mail:INBOX={home}/inbox"),
        "maildir++-utf8": Kind(4, "maildir:{home}/Maildir:UTF-8"),
        "maildir++-control": Kind(4, "maildir:{home}/Maildir:CONTROL={home}/control:INDEX={home}/index"),
        "fs-dirname": Kind(4, "maildir:{home}/Maildir:LAYOUT=fs:DIRNAME=mBoX"),
        "fs-fulldirname": Kind(4, "maildir:{home}/Maildir:LAYOUT=fs:FULLDIRNAME=mBoX" + APART),
        "fs-iterindex": Kind(4, "maildir:{home}/Maildir:LAYOUT=fs:INDEX={home}/index:ITERINDEX:NO-NOSELECT"),
        "maildir++-iterindex": Kind(4, "maildir:{home}/Maildir:INDEX={home}/index:ITERINDEX"
                                    ":INDEXCACHE={home}/cache:VOLATILEDIR={home}/volatile"),
        "fs-boxes": Kind(4, "maildir:{home}/Maildir:LAYOUT=fs:MAILBOXDIR=boxes:INBOX={home}/inbox" + APART),
        "fs-boxes-dirname": Kind(4, "maildir:{home}/Maildir:LAYOUT=fs:MAILBOXDIR=boxes:DIRNAME=mBoX" + APART),
        "fs-list-boxes": Kind(4, "maildir:{home}/Maildir:LAYOUT=index:MAILBOXDIR=boxes" + APART),
        "fs-list": Kind(4, "maildir:{home}/Maildir:LAYOUT=index"),
        "fs-list-apart": Kind(4, "maildir:{home}/Maildir:LAYOUT=index:LISTINDEX=names" + APART),
        "maildir++-gz": Kind(4, "maildir:{home}/Maildir", "userdb_zlib_save=gz " + PLUGINS, ESCAPE),
        "maildir++-bz2": Kind(4, "maildir:{home}/Maildir", "userdb_zlib_save=bz2 " + PLUGINS, ESCAPE),
        "maildir++-zstd": Kind(4, "maildir:{home}/Maildir", "userdb_zlib_save=zstd " + PLUGINS, ESCAPE),
        "maildir++-lz4": Kind(4, "maildir:{home}/Maildir", "userdb_zlib_save=lz4 " + PLUGINS, ESCAPE),
        "sdbox-index": Kind(4, "sdbox:{home}/sdbox:INDEX={home}/index"),
        "sdbox-control": Kind(4, "sdbox:{home}/sdbox:CONTROL={home}/control:UTF-8"),
        "sdbox-dirname": Kind(4, "sdbox:{home}/sdbox:DIRNAME=mBoX"),
        "sdbox-iterindex": Kind(4, "sdbox:{home}/sdbox:INDEX={home}/index:ITERINDEX"),
        "sdbox-fulldirname": Kind(4, "sdbox:{home}/sdbox:FULLDIRNAME=mBoX" + APART),
        "sdbox-alt": Kind(4, "sdbox:{home}/sdbox:ALT={home}/alt"),
        "sdbox-gz": Kind(4, "sdbox:{home}/sdbox", "userdb_zlib_save=gz " + PLUGINS, ESCAPE),
        "sdbox-lz4": Kind(4, "sdbox:{home}/sdbox", "userdb_zlib_save=lz4 " + PLUGINS, ESCAPE),
        "sdbox-attached": Kind(4, "sdbox:{home}/sdbox", ATTACHED, "", ":ATTACHMENTS={home}/attached"),
        "mdbox-index": Kind(4, "mdbox:{home}/mdbox:INDEX={home}/index:CONTROL={home}/control"),
        "mdbox-fulldirname": Kind(4, "mdbox:{home}/mdbox:FULLDIRNAME=mBoX" + APART),
        "mdbox-alt": Kind(4, "mdbox:{home}/mdbox:ALT={home}/alt:ALTNOCHECK:BROKENCHAR=^"),
        "mdbox-small": Kind(8, "mdbox:{home}/mdbox", "userdb_mdbox_rotate_size=1k"),
        "mdbox-zstd": Kind(4, "mdbox:{home}/mdbox", "userdb_zlib_save=zstd " + PLUGINS, ESCAPE),
        "mdbox-bz2": Kind(4, "mdbox:{home}/mdbox", "userdb_zlib_save=bz2 " + PLUGINS, ESCAPE),
        "maildir++-rotating": Kind(4, "maildir:{home}/Maildir", ROTATING),
        "sdbox-rotating": Kind(4, "sdbox:{home}/sdbox", ROTATING),
        "mdbox-rotating": Kind(4, "mdbox:{home}/mdbox", ROTATING),
        "mbox-rotating": Kind(4, "mbox:{home}/mail:INBOX={home}/inbox", ROTATING),
        "sdbox-list": Kind(4, "sdbox:{home}/sdbox:LAYOUT=index"),
        "mdbox-list": Kind(4, "mdbox:{home}/mdbox:LAYOUT=index"),
        "mbox-index": Kind(4, "mbox:{home}/mail:INBOX={home}/inbox:INDEX={home}/index:UTF-8", PLUGINS, ESCAPE),
        "mbox-boxes": Kind(4, "mbox:{home}/mail:MAILBOXDIR=boxes"),
        "mbox-list-boxes": Kind(4, "mbox:{home}/mail:LAYOUT=index:MAILBOXDIR=boxes"),
        "mbox-plus": Kind(4, "mbox:{home}/mail:LAYOUT=maildir++:SUBSCRIPTIONS=subs"),
        "mbox-plus-inbox": Kind(4, "mbox:{home}/mail:LAYOUT=maildir++:SUBSCRIPTIONS=subs:INBOX={home}/inbox"),
        "mbox-plus-apart": Kind(4, "mbox:{home}/mail:LAYOUT=maildir++:INBOX={home}/inbox" + APART, PLUGINS, ESCAPE),
        "mbox-list": Kind(4, "mbox:{home}/mail:LAYOUT=index"),
        "mbox-list-apart": Kind(4, "mbox:{home}/mail:LAYOUT=index:LISTINDEX=names/list" + APART, PLUGINS),
        "mbox-control": Kind(4, "mbox:{home}/mail:INBOX={home}/inbox:CONTROL={home}/control", PLUGINS, ESCAPE),
        "mbox-dirname": Kind(4, "mbox:{home}/mail:INBOX={home}/inbox:DIRNAME=mBoX:INDEX={home}/index",
                             PLUGINS, ESCAPE),
        "mbox-fulldirname": Kind(4, "mbox:{home}/mail:FULLDIRNAME=mBoX" + APART, PLUGINS, ESCAPE),
        "mbox-escape": Kind(4, "mbox:{home}/mail:INBOX={home}/inbox", PLUGINS, ESCAPE),
        "maildir++-crypt": Kind(4, "maildir:{home}/Maildir", CRYPT, "", KEEP),
        "sdbox-crypt": Kind(5, "sdbox:{home}/sdbox", CRYPT, "", KEEP),
        "mdbox-crypt": Kind(5, "mdbox:{home}/mdbox", CRYPT, "", KEEP),
        "maildir++-keys": Kind(2, "maildir:{home}/Maildir", CRYPT_KEYS, "", KEEP),
        "sdbox-keys": Kind(2, "sdbox:{home}/sdbox", CRYPT_KEYS, "", KEEP),
        "mdbox-keys": Kind(2, "mdbox:{home}/mdbox", CRYPT_KEYS, "", KEEP),
        "mdbox-attached": Kind(4, "mdbox:{home}/mdbox", ATTACHED, "", ":ATTACHMENTS={home}/attached"),
    }

    drop = staticmethod(drop)

    def __init__(self, work, name="dovecot"):
        self.work = work
        self.dir = work.mkdir(name)
        self.root = os.path.join(work.packages, "dovecot")
        self.imap, self.pop3 = free_port(), free_port()
        for sub in ("run", "state", "home"):
            work.mkdir(name, sub)
        os.chmod(self.dir + "/run", 0o755)
        self.users = work.write(self.dir + "/users", "")
        self.log = Log(self.dir + "/log")
        group = subprocess.run(["id", "-gn", ACCOUNT.pw_name], capture_output=True, text=True).stdout.strip()
        self.config = work.write(self.dir + "/dovecot.conf", self.CONFIG.format(
            dir=self.dir, root=self.root, preload=work.preload, libraries=work.libraries("dovecot"), user=ACCOUNT.pw_name,
            group=group, imap=self.imap, pop3=self.pop3))
        self.master = self.command("master", "/usr/sbin/dovecot", "-F")
        self.process = None
        self.declare()

    def command(self, service, program, *args):
        """Arguments that run a program of Dovecot: it would find its settings by running /usr/bin/doveconf."""
        return [self.root + "/usr/bin/doveconf", "-f", "service=" + service, "-c", self.config, "-m", service,
                "-p", "-e", self.root + program, "-c", self.config, *args]

    def env(self):
        return {"PATH": "/usr/bin:/bin:/usr/sbin", "LD_LIBRARY_PATH": self.work.libraries("dovecot"), "TZ": "UTC0",
                "LD_PRELOAD": self.work.preload, "MBX_TEST_DOVECOT": self.root + "/usr/lib/dovecot"}

    def doveadm(self, *args):
        """Runs doveadm, which has to succeed without a word; returns its standard output."""
        done = subprocess.run(self.command("doveadm", "/usr/bin/doveadm", *args), env=self.env(), cwd=self.dir,
                              capture_output=True, **self.drop())
        if done.returncode != 0 or done.stderr:
            raise RuntimeError("doveadm %s: %d\n%s" % (" ".join(args), done.returncode, done.stderr.decode("utf-8", "replace")))
        return done.stdout.decode("utf-8", "surrogateescape")

    def start(self):
        with open(self.dir + "/console", "w") as console:
            self.process = subprocess.Popen(
                self.master, env=self.env(), cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, **self.drop())
        try:
            wait_for_port(self.imap, self.process)
            wait_for_port(self.pop3, self.process)
        except RuntimeError as e:
            raise RuntimeError("dovecot: %s\n%s%s" % (e, open(self.dir + "/console").read(), self.log.text()))
        return self

    def stop(self):
        stop(self.process)
        self.process = None

    def openssl(self, *args):
        """Runs the machine's openssl, or that which was unpacked; returns its standard output."""
        own = self.root + "/usr/bin/openssl"
        env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": self.work.libraries("dovecot")} if os.path.exists(own) else None
        return subprocess.run([own if env else "openssl", *args], check=True, capture_output=True, env=env).stdout

    def make_key(self):
        """The key of CRYPT: settings in one line."""
        path = self.work.write(self.dir + "/key", "")
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", path)
        self.key_id = hashlib.sha256(self.openssl(
            "ec", "-in", path, "-pubout", "-outform", "DER", "-conv_form", "compressed")).hexdigest()
        with open(path, "rb") as f:
            keys = {"public": self.openssl("pkey", "-in", path, "-pubout"), "private": f.read()}
        return {name: base64.b64encode(text).decode() for name, text in keys.items()}

    def declare(self):
        """Writes the accounts that tests may take: Dovecot reads new ones only once a second.

        Each that encrypts has a second name, with "-plain", under which it does not."""
        self.free = {kind: [] for kind in self.KINDS}
        key = self.make_key()
        with open(self.users, "w", encoding="utf-8") as f:
            for kind, how in self.KINDS.items():
                for n in range(how.count):
                    name = "%s%02d" % (kind.replace("+", ""), n)
                    home = self.work.mkdir(os.path.relpath(self.dir, self.work.dir), "home", name)
                    keys = [text.format(home=home) for text in (how.location, how.keys, how.reading)]
                    names = {name: how.fields.format(home=home, **key)}
                    if how.reading == KEEP:
                        names[name + "-plain"] = ""
                    for called, fields in names.items():
                        f.write("%s:{PLAIN}%s:%d:%d::%s::userdb_mail=%s %s\n" % (
                            called, PASSWORD, UID, GID, home, keys[0], fields))
                    self.free[kind].append(Account(self, kind, name, home, *keys, "/", False))

    def account(self, kind="maildir++"):
        """Takes an account that nobody has used yet."""
        return self.free[kind].pop(0)


class Courier:
    """Courier's own imapd and pop3d, one process a connection, as couriertcpd and the login programs start them.

    IMAP_USELOCKS is off because waiting for a lock needs a file alteration monitor daemon.
    """

    def __init__(self, work, name="courier"):
        self.work = work
        self.dir = work.mkdir(name)
        work.mkdir(name, "home")
        self.root = os.path.join(work.packages, "courier")
        self.log = Log(self.dir + "/log")
        work.write(self.dir + "/log", "")
        self.accounts = {}
        self.listeners = []
        self.children = []
        self.lock = threading.Lock()
        self.running = False

    def env(self, account):
        return {
            "PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": self.work.libraries("courier"), "TZ": "UTC0",
            "LD_PRELOAD": self.work.preload,
            "AUTHENTICATED": account.name, "AUTHADDR": account.name, "MAILDIR": account.home + "/Maildir",
            "HOME": account.home, "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEPORT": "1",
            "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT "
                               "QUOTA IDLE ACL ACL2=UNION",
            "IMAP_KEYWORDS": "1", "IMAP_ACL": "1", "IMAP_MAILBOX_SANITY_CHECK": "1", "IMAP_USELOCKS": "0",
            "IMAP_TRASHFOLDERNAME": "Trash", "IMAP_EMPTYTRASH": "Trash:7000", "IMAP_IDLE_TIMEOUT": "60",
            "IMAP_CHECK_ALL_FOLDERS": "0", "IMAP_OBSOLETE_CLIENT": "0", "IMAP_ENHANCEDIDLE": "0",
            "MIME_UNICODE_MESSAGE_TYPE": "message/global", "HOSTNAME": "test", "PROTOCOL": "IMAP",
        }

    def start(self):
        self.running = True
        return self

    def account(self, name):
        home = self.work.mkdir(os.path.relpath(self.dir, self.work.dir), "home", name)
        account = Account(self, "courier", name, home, "courier:%s/Maildir" % home, "", "", ".", True)
        account.imap = self.listen(account, "/usr/bin/imapd")
        account.pop3 = self.listen(account, "/usr/lib/courier/courier/courierpop3d")
        return account

    def listen(self, account, program):
        """A port of its own for each account: the login that would choose the account is left out."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        self.listeners.append(listener)
        threading.Thread(target=self.accept, args=(listener, account, program), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, account, program):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, open(self.log.path, "a") as log:
                child = subprocess.Popen(
                    [self.root + program, account.home + "/Maildir"], stdin=client, stdout=client, stderr=log,
                    env=self.env(account), cwd=account.home, umask=0o22, **drop())
            with self.lock:
                self.children = [c for c in self.children if c.poll() is None] + [child]

    def make_maildir(self, account):
        """What an administrator does for a new Courier account."""
        subprocess.run([self.root + "/usr/bin/maildirmake.courier", account.home + "/Maildir"],
                       env=self.env(account), check=True, **drop())

    def stop(self):
        for listener in self.listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self.listeners = []
        for child in self.children:
            stop(child)


class Account:
    """One mail account: where its files are, and how to reach it."""

    def __init__(self, server, kind, name, home, store, keys, reading, separator, preauth):
        self.server, self.kind, self.name, self.home, self.store = server, kind, name, home, store
        self.keys, self.reading = keys, reading
        self.format = kind.split("-")[0]  # the kind that this is a variant of
        self.separator, self.preauth = separator, preauth
        self.maildir = home + "/Maildir"
        self.imap = getattr(server, "imap", 0)
        self.pop3 = getattr(server, "pop3", 0)
        self.is_courier = preauth


class Sshd:
    """A real sshd that lets the mail owner in with a key made for the purpose."""

    def __init__(self, work, name="ssh"):
        self.work = work
        self.dir = work.mkdir(name)
        self.root = os.path.join(work.packages, "openssh")
        self.port = free_port()
        self.log = Log(self.dir + "/log")
        self.process = None
        self.env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": work.libraries("openssh"), "HOME": self.dir}
        self.client_env = dict(self.env)
        # The mail owner may have no shell ("nobody"): show sshd one, without touching the machine's user database.
        passwd = work.write(self.dir + "/passwd", "%s:*:%d:%d::%s:/bin/sh\n" % (ACCOUNT.pw_name, UID, GID, self.dir), 0o644)
        group = work.write(self.dir + "/group", "mail:x:%d:\n" % GID, 0o644)
        wrapper = [os.path.join(d, "libnss_wrapper.so") for d in work.libraries("openssh").split(":")]
        self.env.update({"LD_PRELOAD": next(p for p in wrapper if os.path.exists(p)), "NSS_WRAPPER_PASSWD": passwd,
                         "NSS_WRAPPER_GROUP": group})

    def tool(self, name):
        own = os.path.join(self.root, "usr/bin", name)
        return own if os.path.exists(own) else name

    def start(self):
        for key in ("host", "user"):
            subprocess.run([self.tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (self.dir, key)],
                           check=True, env=self.env, **drop())
        shutil.copy(self.dir + "/user.pub", self.dir + "/authorized")
        self.work.own(self.dir + "/authorized")
        config = self.work.write(self.dir + "/sshd_config", """
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel INFO
""".format(port=self.port, dir=self.dir))
        with open(self.dir + "/log", "w") as log:
            self.process = subprocess.Popen(
                [self.root + "/usr/sbin/sshd", "-D", "-e", "-f", config], env=self.env, cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **drop())
        try:
            wait_for_port(self.port, self.process)
        except RuntimeError as e:
            raise RuntimeError("sshd: %s\n%s" % (e, self.log.text()))
        with open(self.dir + "/host.pub") as f:
            self.work.write(self.dir + "/known", "[127.0.0.1]:%d %s" % (self.port, f.read()))
        return self

    def command(self, *remote):
        """Arguments that run a command at the other end."""
        return [self.tool("ssh"), "-F", "/dev/null", "-p", str(self.port), "-i", self.dir + "/user",
                "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + self.dir + "/known",
                "-o", "LogLevel=ERROR", ACCOUNT.pw_name + "@127.0.0.1"] + list(remote)

    def stop(self):
        stop(self.process)
        self.process = None


def clean_environment():
    """What every program under test gets."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC0"}
    for name in ("TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "MBX_CORPUS", "LLVM_PROFILE_FILE"):
        if name in os.environ:
            env[name] = os.environ[name]
    return env


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
