"""The figures of the page on reliability: what becomes of runs, files and commands that go wrong. Prints a table and writes
outputs/torture.json, with the machine and the commit.

scripts/torture                        everything, about an hour of two cores
scripts/torture names hostile          some of it
scripts/torture --minutes 0.2 fuzz     readers of files, each so long
"""

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.table import Table
from tiny_overrides import MORE_NETS
from torture import hostile, malformed, names, records, trainings
from torture.readers import READERS, fuzzed
from torture.verbs import call

from genexp.record.git_state import git_state
from genexp.record.provenance import machine, now, write_atomically
from genexp.terminal import Terminal

AT_ONCE = 2
"""Processes."""


@dataclass
class Row:
    """A figure.

    Args:
        what: was tried.
        found: what was seen, in words.
        is_right: whether that is as it should be.
        details: what was amiss.
    """

    what: str
    found: str
    is_right: bool
    details: list[str]


def kills(folder: Path, options: argparse.Namespace) -> list[Row]:
    """SIGKILL at any moment, of three families, until the run is done."""
    long = ["training.max_images=40000", "samples.every_images=20000", "training.validate_every_epochs=5"]
    draws = random.Random(0)
    models = ("made", "vae", "gan")
    times = {model: [draws.uniform(3, 14) for _ in range(-(-options.kills // len(models)))] for model in models}
    done = _side_by_side(
        {
            model: lambda place, model=model: trainings.kill_and_resume(place, model, *long, seconds=times[model])
            for model in models
        },
        folder,
    )
    amiss = [f"{model}: {found.difference}" for model, found in done.items() if found.difference]
    killed = sum(found.interruptions for found in done.values())
    text = f"{killed} kills, {len(done) - len(amiss)} of {len(done)} runs equal to the uninterrupted ones, bit for bit"
    return [Row("kill -9 at any moment", text, not amiss, amiss)]


FAMILIES = ("made", "eonade", "vae", *MORE_NETS, "gan", "stylegan2")


def resume(folder: Path, options: argparse.Namespace) -> list[Row]:
    """A model of every family, ended twice, by SIGTERM and SIGKILL in turn."""
    ways = (signal.SIGTERM, signal.SIGKILL)
    done = _side_by_side(
        {
            model: lambda place, i=i, model=model: trainings.exact_resume(place, model, sent=ways[i % 2])
            for i, model in enumerate(FAMILIES)
        },
        folder,
    )
    amiss = [f"{model}: {found.difference}" for model, found in done.items() if found.difference]
    amiss += [f"{model}: was not interrupted" for model, found in done.items() if not found.interruptions]
    text = f"{len(done) - len(amiss)} of {len(done)} families equal, bit for bit"
    return [Row("exact resumption", text, not amiss, amiss)]


def nan(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Numbers that become NaN, in the output, the input or a weight of a network."""
    plants: list[tuple[str, str, str | None, int]] = [
        (model, where, network, batch)
        for model, network, batch in (("fvsbn", None, 7), ("vae", None, 13), ("gan", "generator", 22))
        for where in ("loss", "input", "weights")
    ]
    plants.append(("gan", "loss", "discriminator", 9))

    def plant(model: str, where: str, network: str | None, batch: int) -> Callable[[Path], trainings.Diverged]:
        return lambda place: trainings.plant_nan(
            trainings.process(place), place, model, batch=batch, where=where, network=network
        )

    done = _side_by_side({f"{p[0]}-{p[1]}-{p[2]}": plant(*p) for p in plants}, folder)
    amiss = [f"{name}: {found}" for name, found in done.items() if not found.is_right]
    text = f"{len(done) - len(amiss)} of {len(done)} noticed within the step, exit 3, all checkpoints finite"
    return [Row("NaN", text, not amiss, amiss)]


def damage(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Checkpoints with a bit flipped or an end cut off, and small files of a run with anything in them."""
    _finished(folder)
    with chdir(folder):
        found = records.damage_checkpoints("outputs/x", random.Random(0), options.damaged)
        small = records.damage_small_files("outputs/x", random.Random(0), options.damaged)
    text = (
        f"{found['detected']} of {found['tried']} detected and named, {found['fell_back']} fell back to the one before"
    )
    is_right = found["detected"] == found["fell_back"] == found["tried"]
    amiss = [str(line) for line in (*small["tracebacks"], *small["others"])]
    lines = f"{small['tried']} tried: {small['one_line']} refused in one line, {small['named']} of them name the file, "
    lines += f"{small['harmless']} were not needed, {len(amiss)} amiss"
    return [
        Row("damaged checkpoints", text, is_right, [str(line) for line in found["unnoticed"]]),
        Row("damaged small files", lines, not amiss and small["named"] == small["one_line"], amiss),
    ]


def wrong(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Commands with a wrong type, a value out of range, or a typo, from every leaf of three models' configs."""
    everything = malformed.cases()
    chosen = everything[: options.commands]
    with chdir(folder):
        found = malformed.summary([malformed.attempt(case) for case in chosen])
        times = [malformed.as_process(case) for case in chosen[:: max(1, len(chosen) // 24)]]
    text = (
        f"{found['tried']} of {len(everything)} tried: exit 2 {found['exit2']}, one line {found['one_line']}, key named "
        f"{found['key_named']}, nearest name {found['nearest_right']} of {found['typos']}, folders left {found['folder_left']}"
    )
    amiss = [f"{line}" for line in (*found["bad"], *found["far"])]
    rows = [
        Row("malformed commands", text, not found["bad"] and found["nearest_right"] >= 0.97 * found["typos"], amiss)
    ]
    for name, wanted in (("without", False), ("with", True)):
        seconds = sorted(s for s, with_torch in times if with_torch is wanted)
        if seconds:
            text = f"median {seconds[len(seconds) // 2]:.2f} s of a processor ({len(seconds)} commands)"
            rows.append(Row(f"refused {name} PyTorch", text, wanted or seconds[len(seconds) // 2] < 1.2, []))
    return rows


def scan(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Every name that a config could write into ``_target_``."""
    found = names.scan()
    text = f"{found['tried']:,} names tried at {len(found['accepted'])} places, {len(found['outside'])} accepted outside the kinds"
    return [Row("names in _target_", text, not found["outside"], found["outside"])]


def harm(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Run folders, YAML and text made to do harm."""
    run = _finished(folder)
    with chdir(folder):
        found = hostile.try_targets(run, folder / "work", options.every)
        text = f"{found['refused']} of {found['tried']} refused in one line, {len(found['effects'])} effects"
        rows = [
            Row("hostile targets", text, found["refused"] == found["tried"] and not found["effects"], found["effects"])
        ]
        found = hostile.try_yaml(run, folder / "work")
        text = f"{found['refused']} of {found['tried']} refused in one line"
        rows.append(Row("YAML that swells", text, not found["amiss"], found["amiss"]))
        found = hostile.try_text(run, folder / "work")
        text = f"{found['tried'] - len(found['amiss'])} of {found['tried']} commands show it harmlessly"
        rows.append(Row("hostile text", text, not found["amiss"], found["amiss"]))
    return rows


def fuzz(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Readers of files."""
    tasks = [(name, options.minutes * 60) for name in options.readers or READERS]
    with get_context("spawn").Pool(AT_ONCE) as pool:
        found = dict(zip(dict(tasks), pool.starmap(fuzzed, tasks, chunksize=1), strict=True))
    amiss = [f"{name}: {line:.500}" for name, counts in found.items() for line in counts.unnamed]
    tried = sum(counts.tried for counts in found.values())
    hung = sum(counts.hung for counts in found.values())
    greedy = sum(counts.greedy for counts in found.values())
    text = f"{', '.join(found)}: {options.minutes:g} min each, {tried:,} files, {hung} hangs, {greedy} greedy, "
    text += f"{len(amiss)} errors that do not name the file"
    return [Row("fuzzed readers", text, not amiss and not hung and not greedy, amiss)]


SECTIONS = {
    "names": scan,
    "hostile": harm,
    "malformed": wrong,
    "damage": damage,
    "nan": nan,
    "resume": resume,
    "kills": kills,
    "fuzz": fuzz,
}


def _side_by_side(tasks: dict[str, Callable[[Path], Any]], folder: Path) -> dict[str, Any]:
    """The results of tasks that wait for processes, each in a folder of its own."""

    def do(item: tuple[str, Callable[[Path], Any]]) -> Any:
        place = folder / item[0]
        place.mkdir(parents=True)
        try:
            return item[1](place)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(tasks, pool.map(do, tasks.items()), strict=True))


def _finished(folder: Path) -> Path:
    """A finished run ``outputs/x``, with two checkpoints."""
    with chdir(folder):
        code, _, err = call(*trainings.command("made", "name=x"))
        if code:
            raise RuntimeError(err)
    return folder / "outputs" / "x"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/torture", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("section", nargs="*", help=", ".join(SECTIONS))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--damaged", type=int, default=250, help="checkpoints, and small files")
    parser.add_argument("--commands", type=int, default=400, help="malformed ones")
    parser.add_argument("--every", type=int, default=1, help="try one in so many hostile targets")
    parser.add_argument("--minutes", type=float, default=5, help="of every reader")
    parser.add_argument("--readers", nargs="+", choices=list(READERS), help="of the section fuzz; default: all")
    options = parser.parse_args()
    console = Terminal(width=150)
    for name in options.section:
        if name not in SECTIONS:
            parser.error(f"{name}: must be one of {', '.join(SECTIONS)}")
    os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    output = Path("outputs/torture.json").absolute()
    written = json.loads(output.read_text()) if output.exists() else {}
    table = Table("what", "found", "minutes", "as it should be")
    is_right = True
    for name in options.section or SECTIONS:
        console.print(f"{name} ...", style="dim")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            os.environ["GENEXP_CACHE"] = str(Path(folder) / "cache")
            rows = SECTIONS[name](Path(folder), options)
        minutes = (time.monotonic() - started) / 60
        for row in rows:
            table.add_row(row.what, row.found, f"{minutes:.1f}", "yes" if row.is_right else "NO")
            for line in row.details[:20]:
                console.print(f"  {row.what}: {line:.600}")
            is_right &= row.is_right
        about = {"time": now(), "commit": git_state(Path(__file__).parent, []).about, "machine": machine()}
        written[name] = {**about, "minutes": round(minutes, 2), "rows": [vars(row) for row in rows]}
        write_atomically(output, json.dumps(written, indent=2) + "\n")
    console.print(table)
    raise SystemExit(not is_right)


if __name__ == "__main__":
    main()
