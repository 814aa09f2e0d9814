"""Tests of agents.acme_layer.compat: Acme imports without output, and only missing names are added."""

import ast
import importlib.util
import pathlib
import subprocess
import sys
import types
from typing import Any

import jax
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

from agents.acme_layer import compat

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_a_user_sees_nothing_at_import() -> None:
    program = """
import agents.acme_layer.builder, agents.crossq.builder
import importlib.util, sys, warnings
if importlib.util.find_spec("acme.jax.layouts"):
    import agents.acme_layer.released
assert "gym" in sys.modules
warnings.warn("still ignored", DeprecationWarning, stacklevel=2)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_there_stays_and_what_is_missing_comes() -> None:
    namespace = types.SimpleNamespace(there=1)
    compat._add_missing(namespace, {"there": 2, "missing": 3})
    assert vars(namespace) == {"there": 1, "missing": 3}


def test_removed_names_of_jax_do_what_they_did() -> None:
    old: Any = jax
    tree = {"a": np.arange(2.0), "b": 3.0}
    leaves, structure = old.tree_flatten(tree)
    assert structure == old.tree_structure(tree)
    assert old.tree_unflatten(structure, leaves) == tree
    assert old.tree_leaves(tree)[1] == 3.0
    assert old.tree_map(lambda x: 2 * x, tree)["b"] == 6.0
    assert old.tree_multimap(lambda x, y: x + y, tree, tree)["b"] == 6.0
    array = jax.numpy.zeros(2)
    for kind in (old.xla.DeviceArray, old.pxla.ShardedDeviceArray, old.numpy.DeviceArray):
        assert isinstance(array, kind)
    assert isinstance(jax.devices()[0], old.xla.Device)


@pytest.mark.parametrize("used_before", [False, True])
def test_tensorflow_is_kept_off_gpus(used_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def set_visible_devices(*args: Any) -> None:
        calls.append(args)
        if used_before:
            raise RuntimeError("Visible devices cannot be modified after being initialized")

    config = types.SimpleNamespace(set_visible_devices=set_visible_devices)
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    compat._import_tensorflow()
    assert calls == [([], "GPU")]


class _Client:
    """A client of a newer Reverb: signatures are validated or not, without a time to wait for them."""

    def trajectory_writer(self, num_keep_alive_refs: int, *, validate_items: bool = True) -> tuple[int, bool]:
        return num_keep_alive_refs, validate_items


@pytest.mark.parametrize(
    ("given", "validates"),
    [
        ({}, True),
        ({"get_signature_timeout_ms": 300_000}, True),
        # In the versions that had this argument, None asked for no validation.
        ({"get_signature_timeout_ms": None}, False),
        ({"validate_items": False}, False),
        ({"validate_items": False, "get_signature_timeout_ms": 300_000}, False),
    ],
)
def test_newer_writers_take_the_older_argument(given: dict[str, Any], validates: bool) -> None:
    client = type("Client", (_Client,), {})
    compat._accept_signature_timeout(client)
    assert client().trajectory_writer(3, **given) == (3, validates)


def test_older_writers_stay_as_they_are() -> None:
    class Client:
        def trajectory_writer(self, num_keep_alive_refs: int, get_signature_timeout_ms: int = 0) -> None: ...

    before = Client.trajectory_writer
    compat._accept_signature_timeout(Client)
    assert Client.trajectory_writer is before


def test_older_replay_nodes_take_no_checkpoint_time() -> None:
    class Node:
        def __init__(self, tables: Any, checkpoint_ctor: Any = None) -> None:
            self.given = tables, checkpoint_ctor

    compat._accept_checkpoint_time(Node)
    make: Any = Node
    assert make("tables", checkpoint_time_delta_minutes=None).given == ("tables", None)
    assert make("tables", "constructor").given == ("tables", "constructor")
    with pytest.raises(ValueError, match=r"writes no checkpoints of replay .* install dm-launchpad 0\.5\.2"):
        make("tables", checkpoint_time_delta_minutes=5)


def test_newer_replay_nodes_stay_as_they_are() -> None:
    class Node:
        def __init__(self, tables: Any, checkpoint_time_delta_minutes: int | None = None) -> None: ...

    before = Node.__init__
    compat._accept_checkpoint_time(Node)
    assert Node.__init__ is before


@pytest.mark.parametrize(
    "first",
    ["acme.wrappers", "tensorflow", "launchpad"],
)
def test_other_packages_may_be_imported_first(first: str) -> None:
    _import_after(f"import {first}")


@pytest.mark.skipif(
    importlib.util.find_spec("acme.jax.layouts") is None, reason="Acme's main branch needs no removed name"
)
def test_acme_jax_can_be_imported_after_it_failed() -> None:
    _import_after(
        "try:\n    import acme.jax.networks\nexcept AttributeError: pass\n"
        "else: raise SystemExit('Acme needs no other import before it')"
    )


def _import_after(first: str) -> None:
    """Imports Acme's networks with our builders in a process that has run the lines of `first`."""
    program = f"{first}\nimport agents.crossq.builder\nfrom acme.jax import networks, variable_utils"
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_layer_names_the_extra() -> None:
    program = (
        "import importlib.util, sys\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name in ('launchpad', 'reverb') else find(name)\n"
        "import agents.acme_layer.compat"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: launchpad, reverb not found: install the extra acme (pip install 'acme-psro[acme]'), "
        "with Python 3.10 on Linux (x86-64)."
    )


def _modules_that_import_acme() -> dict[str, list[str]]:
    """Returns the files of `agents` that need `compat`, each with its imports in their order."""
    found = {}
    for path in sorted((ROOT / "agents").rglob("*.py")):
        imports = []
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                imports += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imports.append(node.module or "")
        if any(_needs_compat(name) for name in imports):
            found[str(path.relative_to(ROOT))] = imports
    return found


def _needs_compat(name: str) -> bool:
    """Returns True if a module of this name must be imported after `compat`."""
    return name.partition(".")[0] in ("acme", "reverb", "launchpad", "tensorflow", "sonnet")


def test_it_is_imported_before_acme() -> None:
    modules = _modules_that_import_acme()
    assert {
        "agents/acme_layer/learner.py",
        "agents/acme_layer/builder.py",
        "agents/acme_layer/released/builder.py",
        "agents/acme_layer/released/distributed.py",
        "agents/acme_layer/released/local.py",
    } <= set(modules)
    for name, imports in modules.items():
        first = min(index for index, each in enumerate(imports) if _needs_compat(each))
        assert "agents.acme_layer.compat" in imports[:first], name
