"""Names that a destination cannot have, and what they become there (settled point 15)."""
import hashlib
import re

# Regular expressions of what a level cannot have; the part that matches becomes "_", and a digest is added. Where
# there is no escape character a "~" cannot begin a name.
FORBIDDEN = {
    "maildir++": r"\.",
    "fs": r"^c(?=ur$)|^n(?=ew$)|^t(?=mp$)",
    "sdbox": r"^d(?=box-Mails$)",
    "mdbox": r"^d(?=box-Mails$)",
    "courier": "[\\.\U00010000-\U0010ffff]",
    "mbox": r"^.(?=.*\.lock$)",
}


def mapped(kind, path):
    """What a path becomes in a store of this kind."""
    levels = []
    for n, level in enumerate(path):
        changed = re.sub(FORBIDDEN.get(kind, r"$^") + (r"|^~" if kind in FORBIDDEN and n == 0 else ""), "_", level)
        if changed != level:
            changed += "~" + hashlib.sha256("/".join(path[:n + 1]).encode()).hexdigest()[:8]
        levels.append(changed)
    return tuple(levels)


def parted(kind, path, boxes):
    """The same where a mailbox that is a file can have none below it: what lies there gets a parent of its own."""
    levels = list(mapped(kind, path))
    for n in range(1, len(path) if kind == "mbox" else 0):
        if path[:n] in boxes and path[:n] != ("INBOX",):
            levels[n - 1] += "~" + hashlib.sha256("/".join(path[:n]).encode()).hexdigest()[:8]
    return tuple(levels)


def snapshot_in(kind, snap):
    """What a snapshot has to become in a store of this kind."""
    result = {key: {parted(kind, p, snap["boxes"]): v for p, v in value.items()} if key in ("folders", "boxes") else
              sorted(parted(kind, p, snap["boxes"]) for p in value) if key == "subscribed" else value
              for key, value in snap.items()}
    if kind == "mbox":
        for path in list(result["folders"]):
            for n in range(1, len(path)):
                result["folders"].setdefault(path[:n], ["\\Noselect"])
    return result
