"""Secrets stay out of configs, and so out of run folders and W&B; in a patch of the code they are masked."""

import os
import re
from typing import Any

WORDS = re.compile(
    r"""(?:^|[_.\-]) (?: api[_\-]?key | apikey | pass(?:word|wd|phrase|code)? | pwd | secrets? | secret[_\-]?key | private[_\-]?key
        | access[_\-]?key | ssh[_\-]?key | encryption[_\-]?key | signing[_\-]?key | account[_\-]?key | credentials? | creds
        | auth | authorization | bearer | cookie | jwt | dsn | webhook(?:[_\-]?url)? | connection[_\-]?string )
        (?:$|[_\-](?:id|value|text|string|env|file)?$)""",
    re.IGNORECASE | re.VERBOSE,
)
"""Names of entries that hold a secret if they hold text."""
TOKEN = re.compile(r"(?:^|[_.\-])(?:tokens?|pat|key)$", re.IGNORECASE)
"""Names of entries that hold a secret if their text looks like one; a number is a token of a vocabulary."""
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
RANDOM = re.compile(r"[A-Za-z0-9+/=_.\-]{16,}")
"""Text that nobody would choose for the value of a setting named ``key``."""
SHAPES = re.compile(
    r"""(?<![A-Za-z0-9]) (?: gh[pousr]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[\w\-]{16,} | hf_[A-Za-z0-9]{16,}
        | (?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,} | AIza[\w\-]{30,} | sk-[\w\-]{16,} | sk_(?:live|test)_\w{16,}
        | xox[abeoprs]-[\w\-]{10,}
        | xapp-[\w\-]{10,} | npm_[A-Za-z0-9]{20,} | pypi-[\w\-]{16,} | dckr_pat_[\w\-]{16,} | wandb_v1_\w{16,} | ya29\.[\w\-]{16,}
        | SG\.[\w\-]{16,}\.[\w\-]{16,} | eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]* | (?:Bearer|Basic)\s+[A-Za-z0-9+/=_.\-]{8,} )
        | -----BEGIN\s[A-Z ]*PRIVATE\sKEY(?:\sBLOCK)?-----""",
    re.VERBOSE,
)
"""Text that is a secret whatever the entry is called: tokens of services, authorization headers, JSON web tokens, private keys."""
URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password within an address."""
ASSIGNED = re.compile(r"""([\w.\-]+)(["']?\s*[:=]\s*)(["']?)([^\s"',}]+)""")
MASK = "***"


def find_secret(node: Any, path: str = "") -> str | None:
    """The dotted key of a secret in a resolved config of plain containers; None if there is none."""
    if isinstance(node, dict):
        for name, value in node.items():
            here = f"{path}.{name}" if path else str(name)
            if is_secret(str(name), value) or (isinstance(name, str) and is_secret("", name)):
                return here
            if found := find_secret(value, here):
                return found
    elif isinstance(node, list):
        return next((found for i, value in enumerate(node) if (found := find_secret(value, f"{path}[{i}]"))), None)
    elif is_secret("", node):
        return path
    return None


def is_secret(name: str, value: Any) -> bool:
    """Whether an entry holds a secret, by its name or by the shape of its value; numbers, switches and null are none, but for a
    number called a password."""
    if isinstance(value, bool | None) or isinstance(value, dict):
        return False
    snake = CAMEL.sub("_", name)
    if WORDS.search(snake):
        return value != "" and value != []
    if not isinstance(value, str):
        return False
    if TOKEN.search(snake):
        return bool(RANDOM.fullmatch(value)) or bool(re.search(r"tokens?$", snake, re.IGNORECASE) and value)
    own = os.environ.get("WANDB_API_KEY")
    return bool(SHAPES.search(value) or URL.search(value) or (own and own in value))


def mask(text: str) -> str:
    """Text, such as a patch, with all that looks like a secret replaced by ``***``."""
    text = re.sub(r"-----BEGIN ([A-Z ]*PRIVATE KEY[A-Z ]*)-----.*?(?:-----END \1-----|\Z)", MASK, text, flags=re.DOTALL)
    text = URL.sub(f"://{MASK}@", SHAPES.sub(MASK, text))
    if own := os.environ.get("WANDB_API_KEY"):
        text = text.replace(own, MASK)

    def assigned(match: re.Match[str]) -> str:
        name, between, quote, value = match.groups()
        is_text = quote or (
            re.search(r"\d", value) and not re.search(r"\(|^[\d.,_]+$", value)
        )  # not a name in code, nor a number
        return f"{name}{between}{quote}{MASK}" if is_text and is_secret(name, value) else match.group()

    return ASSIGNED.sub(assigned, text)
