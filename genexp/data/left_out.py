"""What lies among the images of a data set and is not used, in words."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from genexp.data.images import SUFFIXES


class LeftOut:
    """Counts what is left out of folders.

    Attributes:
        types: files that are no images by their name: their numbers by suffix.
        nested: images in folders below, which are not looked into: their numbers by the folder above.
        beside: images beside the folders that are: their numbers by where they lie.
        hidden: images whose names begin with a dot.
    """

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.nested: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()
        self.hidden = 0

    def file(self, name: str) -> None:
        """Count a file that is no image, or hidden; hidden files of other types belong to the system."""
        if not name.startswith("."):
            self.types[os.path.splitext(name)[1].lower() or "no suffix"] += 1
        elif is_image(name):
            self.hidden += 1

    def folder(self, path: Path, depth: int | None = None) -> None:
        """Count the images in a folder, and in those below it down to ``depth``; None for all."""
        if path.name.startswith("."):
            return
        images = 0
        for here, folders, names in os.walk(path):
            images += sum(map(is_image, names))
            if depth is not None and len(Path(here).relative_to(path).parts) >= depth:
                folders.clear()
        if images:
            self.nested[str(path.parent)] += images

    def line(self) -> str | None:
        """All of it in one line, such as ``30 images in folders of d/train/cat and 60 files of other types (.gif, .tif) are not
        used``; None if nothing is left out."""
        said = []
        if self.nested:
            said.append(f"{plural(self.nested.total(), 'image')} in folders of {listed(self.nested)}")
        if self.beside:
            said.append(f"{plural(self.beside.total(), 'image')} beside the folders of {listed(self.beside)}")
        if self.types:
            said.append(f"{plural(self.types.total(), 'file')} of other types ({listed(self.types)})")
        if self.hidden:
            said.append(plural(self.hidden, "hidden image"))
        count = self.nested.total() + self.beside.total() + self.types.total() + self.hidden
        return f"{' and '.join(said)} {'is' if count == 1 else 'are'} not used" if said else None


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return name.lower().endswith(SUFFIXES)


def plural(n: int, what: str) -> str:
    """``1 image``, ``1,000 images``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """The first few of them in order; characters that a terminal would obey are shown as what they are."""
    names = sorted(names)
    shown = [name if name.isprintable() else ascii(name)[1:-1] for name in names[:5]]
    return ", ".join([*shown, *(["..."] if len(names) > 5 else [])])
