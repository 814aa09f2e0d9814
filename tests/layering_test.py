"""Imports go one way, and the device path starts without Acme and TensorFlow."""

import ast
import fnmatch
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("agents", "acme_psro", "experiments")

# A module may import from its own row and from the rows above it. A row names folders, with all that lies in
# them, or single modules; the longest name that fits a module places it, and `*` stands for any characters.
LEVELS = (
    ("acme_psro.system",),
    (
        "agents",
        "agents.core",
        "agents.gradients",
        "agents.settings",
        "agents.acme_layer",
        "agents.acme_layer.compat",
    ),
    ("agents.*",),
    ("agents.acme_layer.*", "agents.*.builder"),
    ("agents.registry",),
    ("acme_psro.games",),
    ("acme_psro.policies",),
    ("acme_psro.meta_game",),
    ("acme_psro.solvers", "acme_psro.evaluation", "acme_psro.restricted_games"),
    ("acme_psro.oracles",),
    ("acme_psro.neupl", "acme_psro.self_play"),
    ("acme_psro.psro",),
    ("acme_psro.storage", "acme_psro.display"),
    ("acme_psro.environments",),
    ("acme_psro.agent_runs",),
    ("acme_psro.population_runs",),
    ("acme_psro.self_play_runs",),
    ("acme_psro.sweeps",),
    ("acme_psro.play",),
    ("acme_psro",),
    ("acme_psro.commands",),
    ("acme_psro.__main__",),
    ("experiments",),
)

UNKNOWN_TO_AGENTS = ("acme_psro", "experiments", "open_spiel", "pyspiel")

# Packages that are TensorFlow, or that import it where it is installed: the last three, because the
# JAX half of TensorFlow Probability does.
ACME_LAYER = (
    "acme",
    "courier",
    "keras",
    "launchpad",
    "reverb",
    "sonnet",
    "tensorflow",
    "distrax",
    "rlax",
    "tensorflow_probability",
)
MAY_IMPORT_ACME_LAYER = (
    "agents.acme_layer.*",
    "agents.*.builder",
    "acme_psro.games.environment",
    "acme_psro.environments.wrappers",
    "acme_psro.agent_runs.*",
    "experiments.benchmarks.acting.sides",
    "experiments.benchmarks.scaling.probes",
    "experiments.benchmarks.scaling.replay_server",
    "experiments.benchmarks.peers.scripts.acme_sac",
)


class Import(NamedTuple):
    """One import: where it stands and what it brings in, both as dotted names."""

    importer: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def find_modules(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns every module of our packages under `root`, by dotted name."""
    paths = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    names = {path: path.relative_to(root).with_suffix("").parts for path in paths}
    return {".".join(name).removesuffix(".__init__"): path for path, name in names.items()}


def find_imports(modules: dict[str, pathlib.Path]) -> Iterator[Import]:
    """Yields every import in `modules`, those inside functions and by name included."""
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.stmt | ast.expr):
                for target in _targets(node, package, modules):
                    yield Import(name, node.lineno, target)


def _targets(node: ast.stmt | ast.expr, package: str, modules: dict[str, pathlib.Path]) -> list[str]:
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module, names, level):
            base = package.rsplit(".", level - 1)[0] if level else ""
            base = ".".join(part for part in (base, module) if part)
            members = [f"{base}.{alias.name}" for alias in names]
            return [member if member in modules else base for member in members]
        case ast.Call(
            ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            [ast.Constant(str(target)), *_],
        ):
            return [target]
    return []


def fits_pattern(module: str, pattern: str) -> bool:
    """Returns True if a module is the folder or file that a pattern names, or lies in that folder."""
    return fnmatch.fnmatchcase(module, pattern) or (
        pattern not in PACKAGES[:2] and fnmatch.fnmatchcase(module, f"{pattern}.*")
    )


def level_of(module: str) -> int:
    """Returns the row of `LEVELS` that `module` belongs to.

    Raises:
      ValueError: no pattern fits.
    """
    fits = [
        (len(pattern), level)
        for level, patterns in enumerate(LEVELS)
        for pattern in patterns
        if fits_pattern(module, pattern)
    ]
    if not fits:
        raise ValueError(f"{module} has no place in the import order: add it to a row of LEVELS.")
    return max(fits)[1]


def _top(module: str) -> str:
    return module.partition(".")[0]


def against_order(found: Import) -> bool:
    """Returns True if the import goes up: to a later row than the importer's own."""
    if _top(found.target) not in PACKAGES:
        return False
    return level_of(found.target) > level_of(found.importer)


def beyond_agents(found: Import) -> bool:
    """Returns True if an agent imports a package that agents do not know."""
    return _top(found.importer) == "agents" and _top(found.target) in UNKNOWN_TO_AGENTS


def acme_on_device_path(found: Import) -> bool:
    """Returns True if a module of the device path imports a package of the Acme layer."""
    allowed = any(fnmatch.fnmatchcase(found.importer, name) for name in MAY_IMPORT_ACME_LAYER)
    return _top(found.target) in ACME_LAYER and not allowed


RULES = (against_order, beyond_agents, acme_on_device_path)


@pytest.mark.parametrize("broken", RULES)
def test_imports_follow_rule(broken: Callable[[Import], bool]) -> None:
    modules = find_modules(ROOT)
    assert {_top(module) for module in modules} == set(PACKAGES)
    assert [str(found) for found in find_imports(modules) if broken(found)] == []


def test_every_module_has_a_place() -> None:
    for module in find_modules(ROOT):
        assert level_of(module) >= 0


def test_module_without_a_place_is_named() -> None:
    with pytest.raises(ValueError, match=r"acme_psro\.unheard_of has no place"):
        level_of("acme_psro.unheard_of")


BAD_TREE = {
    "agents/__init__.py": "",
    "agents/acme_layer/__init__.py": "",
    "agents/acme_layer/learner.py": "import acme.core\nimport rlax",
    "agents/crossq/__init__.py": "from . import losses",
    "agents/crossq/losses.py": "import jax\nimport pyspiel\nfrom ..acme_layer.learner import CoreLearner",
    "agents/crossq/builder.py": "from reverb import Table\nfrom acme_psro.system.files import write",
    "acme_psro/__init__.py": "from acme_psro.psro.loop import run",
    "acme_psro/system/__init__.py": "",
    "acme_psro/system/files.py": "import os",
    "acme_psro/games/__init__.py": "",
    "acme_psro/games/tree.py": "from acme_psro import run, system",
    "acme_psro/psro/__init__.py": "",
    "acme_psro/psro/loop.py": "def step():\n  from tensorflow import io\n  from ..display import report",
    "acme_psro/display/__init__.py": "",
    "acme_psro/display/report.py": "import importlib\nimportlib.import_module('acme.jax')",
    "experiments/__init__.py": "",
    "experiments/run_psro.py": "import acme_psro.psro.loop\nfrom agents.crossq import builder",
}


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (
            against_order,
            {
                "agents.crossq.losses:3 imports agents.acme_layer.learner",
                "acme_psro.games.tree:1 imports acme_psro",
                "acme_psro.psro.loop:3 imports acme_psro.display.report",
            },
        ),
        (
            beyond_agents,
            {
                "agents.crossq.losses:2 imports pyspiel",
                "agents.crossq.builder:2 imports acme_psro.system.files",
            },
        ),
        (
            acme_on_device_path,
            {"acme_psro.psro.loop:2 imports tensorflow", "acme_psro.display.report:2 imports acme.jax"},
        ),
    ],
)
def test_bad_imports_are_found(
    broken: Callable[[Import], bool], expected: set[str], tmp_path: pathlib.Path
) -> None:
    for name, source in BAD_TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    imports = find_imports(find_modules(tmp_path))
    assert {str(found) for found in imports if broken(found)} == expected


def loaded_acme_layer(module: str, directory: pathlib.Path) -> list[str]:
    """Imports `module` in a fresh interpreter; returns what of the Acme layer came with it."""
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & {set(ACME_LAYER)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "module", ["acme_psro", "acme_psro.commands.run_psro", "acme_psro.commands.run_agent"]
)
def test_device_path_starts_without_acme_layer(module: str) -> None:
    assert loaded_acme_layer(module, ROOT) == []


def test_loaded_acme_layer_is_seen(tmp_path: pathlib.Path) -> None:
    (tmp_path / "reverb.py").touch()
    (tmp_path / "oracle.py").write_text("import reverb")
    assert loaded_acme_layer("oracle", tmp_path) == ["reverb"]
