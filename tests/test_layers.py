"""The arrows of the house: who may import whom, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "genexp"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# cli -> sweeps -> runs -> tracking, callbacks, metrics -> families -> networks, probability -> torch
# tracking -> reports -> record; record is on the ground
MODELS = {"families", "networks", "probability"}
BELOW = {
    "record": set(),
    "reports": {"record"},
    "probability": set(),
    # the masks of MADE are keyed draws; flows are bijections made of networks
    "networks": {"probability.randomness", "probability.transforms"},
    "families": {"networks", "probability"},
    "metrics": {"record", *MODELS},
    "callbacks": {"record", *MODELS},
    "data": {"record", "probability.quantize", "probability.randomness"},
    "tracking": {"reports", "record", *MODELS},
    "runs": {"tracking", "callbacks", "metrics", "reports", "record", *MODELS},
    "sweeps": {"runs", "reports", "record", "families"},
    "catalogue": {"runs", "reports", "record"},
    # genexp/*.py
    "": {
        "cli",
        "catalogue",
        "task",
        "sweeps",
        "runs",
        "tracking",
        "reports",
        "callbacks.clock",
        "record",
        "families",
        "command_line",
        "completion",
        "data.shard_writer",
        "hydra_words",
        "verbs",
        "shards",
    },
}
FOR_ALL = {"__version__", "ranges", "terminal", "plot_style"}
OUTSIDE = {  # beside the standard library; data sets may import where they load
    "probability": {"torch", "zuko"},
    "networks": {"torch", "zuko"},
    "reports": {"omegaconf", "rich", "matplotlib"},
    "families": {"torch", "pytorch_lightning"},
    "data": {"torch", "torchvision", "pytorch_lightning", "numpy", "PIL"},  # PIL decodes the images of a folder
}
INSIDE_FUNCTIONS = {"data": {"sklearn", "mlxtend", "scipy"}, "probability": {"sklearn"}, "reports": {"pandas"}}


def imports(path):
    """``(module, whether it is imported with the file)`` of every import in a file."""
    tree = ast.parse(path.read_text())
    later = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    later += [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    inner = {n for node in later for n in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "genexp" else [node.module]
            )
            yield from ((name, node not in inner) for name in names)


def layer(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def within(module, allowed):
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def name(path):
    return str(path.relative_to(ROOT))


def test_every_folder_has_its_place():
    assert len(SOURCES) > 30
    assert {layer(path) for path in SOURCES} == set(BELOW)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_arrows_point_downwards(path):
    here = layer(path)
    for module, at_top in imports(path):
        if module.split(".")[0] == "genexp":
            inside = module.removeprefix("genexp").removeprefix(".")
            is_own = here and within(inside, {here})
            assert is_own or within(inside, BELOW[here]) or inside in FOR_ALL, f"{here or 'genexp'} -> {module}"
        elif module.split(".")[0] not in sys.stdlib_module_names:
            root = module.split(".")[0]
            assert root != "wandb" or (here == "tracking" and not at_top), "elsewhere through Lightning's logger"
            assert root != "hydra" or here in ("", "record", "runs", "sweeps"), module
            assert root != "hydra" or not at_top or here == "sweeps", f"{module}: inside functions, it is slow"
            if here in OUTSIDE:
                allowed = OUTSIDE[here] | (set() if at_top else INSIDE_FUNCTIONS.get(here, set()))
                assert root in allowed, f"{here} -> {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_hide_nothing(path):
    text = path.read_text()
    assert path.name != "utils.py"
    if path.name == "__init__.py" and layer(path):
        assert text == ""


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], ["train", "--help"], ["compare", "--help"]], ids=str
)
def test_asking_for_help_is_quick(arguments):
    """Without torch and Lightning, which take seconds to import."""
    script = (
        "import sys\n"
        "import genexp\n"
        f"sys.argv = ['genexp', *{arguments}]\n"
        "from genexp.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'wandb', 'sklearn', 'matplotlib', 'optuna'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "genexp" in done.stdout or "--version" in arguments


def test_the_test_of_the_arrows_would_notice(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from genexp import runs\nimport torch.nn\ndef f():\n    import sklearn.datasets as s\n")
    assert list(imports(file)) == [("genexp.runs", True), ("torch.nn", True), ("sklearn.datasets", False)]
    assert within("probability.quantize", {"probability"}) and not within("probability", {"probability.quantize"})
