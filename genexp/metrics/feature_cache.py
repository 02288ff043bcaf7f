"""Features of references on disk: a convenience, so that whatever is wrong with a file, they are computed anew."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

DIGEST = "sha256"
"""Entry of a file's metadata: :func:`_digest` of its tensors, for a flipped bit is read without a complaint."""


def kept(
    folder: Path,
    name: str,
    compute: Callable[[], dict[str, Tensor]],
    layers: Sequence[str],
    n: int,
    note: Callable[[str], None],
) -> dict[str, Tensor]:
    """Features by layer, each ``(n, F)``: from a file, or computed and written to it.

    Args:
        folder: of the cache; made if need be.
        name: of the file, without suffix: everything that the features depend on.
        compute: gives them.
        layers: their names.
        n: number of examples.
        note: told where the file is damaged, or the folder cannot be written.
    """
    path = Path(os.path.expanduser(folder)) / f"{name}.safetensors"  # without a home the ~ stays
    features = _load(path)
    if features is not None and set(features) == set(layers) and all(len(layer) == n for layer in features.values()):
        return features
    if os.path.lexists(path):
        note(f"{path} is damaged: its features are computed anew")
    features = compute()
    try:
        if str(path).startswith("~"):
            raise OSError("there is no home folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            save_file(features, partial, {DIGEST: _digest(features)})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        note(
            f"the features of the reference are not kept: {path.parent} cannot be written ({reason}); GENEXP_CACHE names "
            "another folder"
        )
    return features


def _load(path: Path) -> dict[str, Tensor] | None:
    """The tensors in a file; None if there is none, or it is not as it was written."""
    if not os.path.isfile(path):
        return None
    try:
        with safe_open(path, "pt") as file:
            features = {layer: file.get_tensor(layer) for layer in file.keys()}
            return features if (file.metadata() or {}).get(DIGEST) == _digest(features) else None
    except Exception:  # whatever it is, they can be computed anew
        return None


def _digest(features: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for layer in sorted(features):
        x = features[layer].contiguous()
        found.update(f"{layer} {x.dtype} {tuple(x.shape)} ".encode())
        found.update(x.numpy())
    return found.hexdigest()
