"""Runs the programs under test."""
import json
import os
import re
import shutil
import subprocess
import sys

from servers import clean_environment, readable_by_owner

BIN = os.path.abspath(os.environ.get("MBX_BIN", "build/bin"))


class Failed(AssertionError):
    pass


def program(name):
    return os.path.join(BIN, name)


def for_owner(work, path):
    """A program where the mail owner can run it, as over ssh: a checkout below /root is closed to others."""
    if readable_by_owner(path):
        return path
    copy = os.path.join(work.dir, os.path.basename(path))
    if not os.path.exists(copy):
        shutil.copy(path, copy)
    return copy


def store(account, keys="", reading=True):
    """The STORE argument of an account; {0} in keys is its home."""
    if account.is_courier:
        return account.store
    return account.store + ":ATTRIBUTES=%s/dovecot-attributes" % account.home + account.keys + keys.format(account.home) + (
        account.reading if reading else "")


def run(*args, **more):
    """Runs one program; returns (status, standard output, standard error)."""
    done = subprocess.run([str(a) for a in args], capture_output=True, env=clean_environment(), **more)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace")


def pipe(exporter, importer, exporter_env=None):
    """exporter | importer; returns both statuses and both standard errors."""
    first = subprocess.Popen(exporter, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=exporter_env or clean_environment())
    second = subprocess.Popen(importer, stdin=first.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=clean_environment())
    first.stdout.close()
    second_text = second.communicate()[0].decode("utf-8", "backslashreplace")
    first_text = first.stderr.read().decode("utf-8", "backslashreplace")
    first.stderr.close()
    return first.wait(), second.returncode, first_text, second_text


def move(source, destination, export_options=(), import_options=(), ssh=None, want=0, user="joe", **keys):
    """Moves an account; anything but the wanted status is a failure. Returns what both sides said."""
    exporter = [program("mbxexport"), "-u", user, *export_options, store(source, **keys)]
    env = None
    if ssh is not None:
        exporter[0] = for_owner(ssh.work, program("mbxexport"))
        exporter, env = ssh.command(shell_words(exporter)), ssh.client_env
    importer = [program("mbximport"), *import_options, store(destination, reading=False, **keys)]
    first, second, first_text, second_text = pipe(exporter, importer, env)
    if (first, second) != (want, want):
        raise Failed("mbxexport %d, mbximport %d\n%s\n%s" % (first, second, first_text, second_text))
    return first_text, second_text


def losses(report):
    """{kind: texts} of the losses in the JSON report of an import."""
    found = {}
    with open(report, encoding="utf-8") as f:
        for message in json.load(f)["messages"]:
            if message["kind"] == "loss":
                _, kind, text = message["text"].split(": ", 2)
                found.setdefault(kind, []).append("%s: %s" % (message.get("mailbox", "account"), text))
    return found


def drivers(name):
    """The stores that a program says it can read or write."""
    return re.findall(r"^  (\w+) ", run(program(name), "--help")[1].decode().split("Drivers:")[1].split("\n\n")[0], re.MULTILINE)


def shell_words(words):
    import shlex
    return " ".join(shlex.quote(w) for w in words)


def export(source, path, *options, user="joe", want=0):
    status, _, text = run(program("mbxexport"), "-u", user, "-o", path, *options,
                          source if isinstance(source, str) else store(source))
    if status != want:
        raise Failed("mbxexport: %d\n%s" % (status, text))
    return text


def verify(*what, want=0, ignore=(), **keys):
    """mbxverify of archives or accounts."""
    args = ["--ignore=" + field for field in ignore]
    args += [store(w, **keys) if hasattr(w, "store") else w for w in what]
    status, out, text = run(program("mbxverify"), *args)
    if status != want:
        raise Failed("mbxverify %s: %d\n%s\n%s" % (" ".join(args), status, out.decode("utf-8", "replace")[:5000], text))
    return out.decode("utf-8", "backslashreplace"), text


def verdict(text):
    """The line that says how much there was: (mailboxes, messages)."""
    found = re.search(r"(\d+) mailbox(?:es)?, (\d+) messages?", text)
    return tuple(int(n) for n in found.groups()) if found else None


def have_programs():
    return all(os.access(program(p), os.X_OK) for p in ("mbxexport", "mbximport", "mbxverify"))


if __name__ == "__main__":
    sys.exit("not a program")
