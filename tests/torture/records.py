"""Damage to a run folder, at random: what every verb makes of it. For tests, and for long runs outside them."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import yaml
from rich.console import Console
from torture.verbs import call

OF_HYDRA = (".hydra/config.yaml", ".hydra/resolved.yaml", ".hydra/choices.yaml", ".hydra/overrides.yaml")
VERBS = {
    "train": lambda run: ["train", f"run={run}", "training.max_images=3000"],
    "repeat": lambda run: ["repeat", str(run), "name=repeated"],
    "evaluate": lambda run: ["evaluate", f"run={run}"],
    "sample": lambda run: ["sample", f"run={run}"],
    "compare": lambda run: ["compare", str(run)],
    "export": lambda run: ["wandb", "export", str(run)],
    "workspace": lambda run: ["wandb", "workspace", str(run), "--entity", "me", "--json", "view.json"],
    "load": lambda run: ["load", str(run)],
}
READERS = {
    "status.json": tuple(VERBS),
    "metrics.json": ("train", "evaluate", "compare", "export", "workspace"),
    "metrics.csv": ("train", "export"),
    ".hydra/config.yaml": ("train", "repeat", "evaluate", "sample", "load"),
    ".hydra/resolved.yaml": ("compare", "export"),
    ".hydra/choices.yaml": ("train", "repeat", "compare"),
    ".hydra/overrides.yaml": ("train", "repeat"),
}
"""The verbs that need a file."""


def _empty(rng, old):
    return b""


def _half(rng, old):
    return old[: rng.randrange(1, max(2, len(old)))]


def _garbage(rng, old):
    return rng.randbytes(rng.randrange(1, 200))


def _zeros(rng, old):
    return bytes(len(old))


def _flipped(rng, old):
    bad = bytearray(old)
    bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    return bytes(bad)


def _kind(rng, old):
    kinds = [b"[]", b"{}", b"null", b"3", b'"x"', b"NaN", b"[1]", b'[{"a": 1}]', b"true"]
    return rng.choice(kinds[1:] if old.startswith(b"[") else kinds)  # an empty list is what a run without values has


def _entry(rng, old):
    """One entry has another type, or is gone."""
    text = old.decode()
    is_json = text.lstrip().startswith(("{", "[")) and text.rstrip().endswith(("}", "]"))
    try:
        content = json.loads(text) if is_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return b"\xff"
    place, nodes = content, []
    while isinstance(place, dict | list) and place:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        nodes.append((place, key))
        place = place[key]
        if rng.random() < 0.4:
            break
    if nodes:
        node, key = nodes[-1]
        if rng.random() < 0.3:
            del node[key]
        else:
            node[key] = rng.choice([None, 3, -1, "x", [], {}, float("nan"), True, [1], {"a": 1}, 10**30])
    return (json.dumps(content) if is_json else yaml.safe_dump(content)).encode()


CONTENTS = (_empty, _half, _garbage, _zeros, _flipped, _kind, _entry)
KINDS = (*CONTENTS, "folder", "fifo", "loop", "unreadable")


def damage(path, kind, rng):
    """Put something else in the place of a file."""
    old = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        path.write_bytes(old if kind == "unreadable" else kind(rng, old))
        if kind == "unreadable":
            path.chmod(0)


def damage_small_files(run, rng, n, files=tuple(READERS), verbs=tuple(VERBS)):
    """Damage one small file of a finished run, ``n`` times, and let a verb that needs it have a look.

    Args:
        run: the folder of a finished run, as seen from the working folder; it is copied, and itself left alone.
        rng: decides on all.
        n: how often.
        files: which are damaged.
        verbs: which look.

    Returns:
        ``tried``; of these ``one_line`` were refused with exit code 2 and one line, and ``named`` of those name the file, or
        the key of a config that is well-formed but wrong; ``harmless`` were done regardless, for what was damaged was not
        needed; the rest is in ``tracebacks`` and ``others``, with what was done.
    """
    count = Counter(tried=0, one_line=0, named=0, harmless=0)
    tracebacks, others = [], []
    if not Path(run, "wandb").is_dir():
        verbs = [verb for verb in verbs if verb != "export"]
    kinds = [kind for kind in KINDS if kind != "unreadable" or os.geteuid()]
    pairs = [(file, verb) for file in files for verb in READERS[file] if verb in verbs]
    for _ in range(n):
        (file, verb), kind = rng.choice(pairs), rng.choice(kinds)
        copy = Path(run).with_name("damaged")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(copy.with_name("repeated"), ignore_errors=True)
        shutil.copytree(run, copy)
        damage(copy / file, kind, rng)
        code, _, err = call(*VERBS[verb](copy))
        what = (file, verb, getattr(kind, "__name__", kind), err[-1500:])
        count["tried"] += 1
        if "Traceback" in err:
            tracebacks.append(what)
        elif code == 0:
            count["harmless"] += 1
        elif code == 2 and err.count("\n") == 1:
            count["one_line"] += 1
            is_wrong_inside = file in OF_HYDRA and kind in (_entry, _flipped)
            if Path(file).name in err or is_wrong_inside:
                count["named"] += 1
            else:
                others.append(what)
        else:
            others.append(what)
    shutil.rmtree(copy, ignore_errors=True)
    return {**count, "tracebacks": tracebacks, "others": others}


def damage_checkpoints(run, rng, n):
    """Flip one bit of a run's last checkpoint, or cut it off, ``n`` times.

    Returns:
        ``tried``; ``detected``: reading it raises an error that names the file; ``fell_back``: the run would continue from
        the checkpoint before; ``unnoticed``: what was done where it was not.
    """
    from genexp.record import checkpoint
    from genexp.record.checksum import CorruptCheckpoint
    from genexp.record.folder import RunFolder
    from genexp.runs.resume import last_good

    folder = RunFolder(run)
    last, previous = (folder.checkpoints / f"{name}.ckpt" for name in ("last", "previous"))
    good = last.read_bytes()
    before = previous.read_bytes() if previous.exists() else None
    count, unnoticed = Counter(tried=0, detected=0, fell_back=0), []
    for _ in range(n):
        bad = bytearray(good)
        position = rng.randrange(len(good))
        if cut := rng.random() < 0.3:
            bad = bad[:position]
        else:
            bad[position] ^= 1 << rng.randrange(8)
        for path, content in ((last, bad), (previous, good)):
            path.unlink(missing_ok=True)  # may be a link to another
            path.write_bytes(content)
        count["tried"] += 1
        try:
            checkpoint.load(last)
        except CorruptCheckpoint as error:
            count["detected"] += str(last) in str(error)
        else:
            unnoticed.append(("cut at" if cut else "flipped at", position))
        found = last_good(folder, Console(quiet=True))
        count["fell_back"] += found is not None and found[0] == str(previous)
    for path, content in ((last, good), (previous, before)):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    return {**count, "unnoticed": unnoticed}
