"""Games and fixtures that the tests share. Each game is compiled once per test session.

A test with a parameter `case` runs on each game of `GAMES` that is not slow. With the mark `games("a", "b")`
it runs only on the games named there, and with the mark `slow_games` on the slow ones too. The fixture
`compiled` compiles any other game string.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree


@dataclasses.dataclass(frozen=True)
class GameCase:
    """A game that can be compiled, with its size.

    Attributes:
      string: the game as `pyspiel.load_game` takes it.
      nodes: the number of its histories, chance nodes and terminal nodes included, counted by a plain
        recursion.
      infosets: the number of its information states, over all players.
      slow: True if enumerating the game takes seconds.
    """

    string: str
    nodes: int
    infosets: int
    slow: bool = False

    @functools.cached_property
    def game(self) -> Any:
        """The OpenSpiel game, in turn-based form."""
        return load_game(self.string)

    @functools.cached_property
    def tree(self) -> GameTree:
        """The game as arrays, compiled without the cache."""
        return compile_game(self.string, cache=False)

    @property
    def has_strings(self) -> bool:
        """True if the game has information state strings, which OpenSpiel's own algorithms need."""
        return bool(self.game.get_type().provides_information_state_string)

    def state_of(self, node: int) -> Any:
        """Returns OpenSpiel's state at a node of the tree."""
        slots = []
        while node:
            slots.append(self.tree.slot[node])
            node = self.tree.parent[node]
        state = self.game.new_initial_state()
        for slot in reversed(slots):
            state.apply_action(moves_of(state)[slot])
        return state


def moves_of(state: Any) -> list[int]:
    """Returns the actions or chance outcomes that lead out of a state, in OpenSpiel's order."""
    return (
        [action for action, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()
    )


GAMES = {
    "kuhn": GameCase("kuhn_poker", 58, 12),
    "kuhn_3p": GameCase("kuhn_poker(players=3)", 617, 48),
    "kuhn_4p": GameCase("kuhn_poker(players=4)", 7886, 160),
    "leduc": GameCase("leduc_poker", 9457, 936),
    "liars_dice": GameCase("liars_dice(dice_sides=4)", 8181, 1024),
    # Simultaneous moves.
    "goofspiel": GameCase("goofspiel(imp_info=True,num_cards=4,points_order=descending)", 1077, 162),
    "rock_paper_scissors": GameCase("matrix_rps", 13, 2),
    "prisoners_dilemma": GameCase("matrix_pd", 7, 2),
    # General-sum games, of which the first has three players.
    "pennies_3p": GameCase("matching_pennies_3p", 15, 3),
    "auction": GameCase("first_sealed_auction(max_value=4)", 291, 8),
    # Identical interests.
    "hanabi": GameCase("tiny_hanabi", 55, 8),
    # Chance outcomes with different probabilities.
    "isomorphic_leduc": GameCase("leduc_poker(suit_isomorphism=True)", 1939, 288),
    # Rewards before the end of the game. One of the games has no information state strings.
    "cliff_walking": GameCase("cliff_walking(horizon=4)", 193, 48),
    "repeated_dilemma": GameCase("repeated_game(stage_game=matrix_pd(),num_repetitions=3)", 127, 42),
    # One player, and observations without information states.
    "catch": GameCase("catch(rows=4,columns=3)", 121, 39),
    # Neither information state tensors nor observation tensors.
    "coordinated_pennies": GameCase("coordinated_mp", 15, 3),
    "tic_tac_toe": GameCase("tic_tac_toe", 549_946, 294_778, slow=True),
}


# The files that take longest. They are begun first, so that no process is left alone with one at the end.
LONG = (
    "ray_program/driver_test.py",
    "commands/run_psro_test.py",
    "agent_runs/local_test.py",
    "commands/run_neupl_test.py",
    "conditional_mpo/learning_test.py",
    "agent_runs/launch_test.py",
    "acme_layer/released_test.py",
    "device/oracle_test.py",
    "population_runs/run_test.py",
    "commands/run_agent_test.py",
    "executors/worker_pool_test.py",
    "benchmarks/benchmarks_test.py",
    "agent_runs/learned_test.py",
    "tests/package_test.py",
    "population_runs/programs_test.py",
    "tests/docs_test.py",
    "neupl/oracle_test.py",
    "games/loading_test.py",
    "executors/on_ray_test.py",
    "population_runs/neupl_on_graph_test.py",
    "solvers/solvers_test.py",
    "population_runs/on_graph_test.py",
    "display/report_test.py",
    "meta_game/cluster_workers_test.py",
    "commands/loops_test.py",
    "games/compile_graph_test.py",
    "acme_layer/compat_test.py",
    "commands/evaluate_test.py",
    "population_runs/distilling_test.py",
    "self_play/learning_test.py",
    "population_runs/rollout_agents_test.py",
    "device/graph_oracle_test.py",
    "cases/learning_test.py",
    "conditional_mpo/e_step_top_weights_test.py",
    "population_runs/recording_test.py",
    "agent_runs/checkpoints_test.py",
    "games/rollout_test.py",
    "meta_game/workers_test.py",
    "population_runs/sampled_members_test.py",
    "conditional_mpo/e_step_published_test.py",
    "acme_layer/learner_test.py",
    "neupl/on_graph_test.py",
    "conditional_mpo/networks_test.py",
    "games/cache_test.py",
    "device/experience_test.py",
    "neupl_program/graph_node_test.py",
    "commands/users_code_test.py",
    "commands/run_self_play_test.py",
    "population_runs/joint_test.py",
    "crossq/learning_temperature_test.py",
    "population_runs/seeds_test.py",
    "psro/loops_test.py",
    "device/population_start_test.py",
    "conditional_mpo/networks_layers_test.py",
)

# XLA's code is kept on disk while the tests run, for all of their processes. Compiling takes more time than
# anything else in them, and many compile the same. A directory that is set already is used as it is.
# JAX reads these variables when it is imported, which other files of fixtures do before `pytest_configure`.
_COMPILED: str | None = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED = tempfile.mkdtemp(prefix="compiled_programs_")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Most programs of the tests are small. XLA takes a tenth less time to compile them if it does not divide
# their code among threads. The variable is read when JAX is first used.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")


def pytest_configure(config: pytest.Config) -> None:
    # Each full collection looks through all that JAX has traced so far: they took a twentieth of the time.
    gc.set_threshold(10_000, 20, 50)
    config.addinivalue_line("markers", "games(*names): run on these games of tests/conftest.py only")
    config.addinivalue_line("markers", "slow_games: run on its large games too, marked slow")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _COMPILED is not None:
        shutil.rmtree(_COMPILED, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(places)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    only = metafunc.definition.get_closest_marker("games")
    with_slow = metafunc.definition.get_closest_marker("slow_games")
    names = only.args if only else [name for name in GAMES if with_slow or not GAMES[name].slow]
    metafunc.parametrize(
        "case",
        [
            pytest.param(GAMES[name], id=name, marks=[pytest.mark.slow] if GAMES[name].slow else [])
            for name in names
        ],
    )


@pytest.fixture(autouse=True, scope="session")
def _cache_in_temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        # Processes of pytest-xdist have directories of their own, all in one, which they share here.
        own = tmp_path_factory.getbasetemp()
        root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "compiled_games"
        root.mkdir(exist_ok=True)
        patch.setenv("ACME_PSRO_CACHE", str(root))
        yield root


@pytest.fixture(autouse=True, scope="module")
def _no_objects_are_set_aside() -> Iterator[None]:
    """Gives the garbage collector back the objects that a module's launches set aside, see `make_launch`."""
    yield
    gc.unfreeze()


@contextlib.contextmanager
def _quick_compilation() -> Iterator[None]:
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    with pytest.MonkeyPatch.context() as patch:
        # For the processes that a test starts.
        patch.setenv(name.upper(), "1")
        yield
    jax.config.update(name, before)


@pytest.fixture
def quick_compilation() -> Iterator[None]:
    """Turns most of XLA's optimisations off, which halves the time to compile programs that run briefly."""
    with _quick_compilation():
        yield


@pytest.fixture(scope="module")
def quick_module() -> Iterator[None]:
    """The same for all tests and fixtures of a module."""
    with _quick_compilation():
        yield


@pytest.fixture(scope="session")
def compiled() -> Callable[[str], GameTree]:
    """A function that compiles a game string, once per test session."""
    return functools.cache(lambda string: compile_game(string, cache=False))


@pytest.fixture(scope="session")
def random_table() -> Callable[[GameTree, int], np.ndarray]:
    """A function `(tree, seed) -> [I, A]` that draws a policy with full support for each player."""

    def draw(tree: GameTree, seed: int) -> np.ndarray:
        weights = np.random.default_rng(seed).exponential(size=tree.legal_actions.shape) * tree.legal_actions
        return weights / weights.sum(axis=1, keepdims=True)

    return draw


@pytest.fixture(scope="session")
def pure_table() -> Callable[[GameTree, int], np.ndarray]:
    """A function `(tree, seed) -> [I, A]` that draws a deterministic policy for each player."""

    def draw(tree: GameTree, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        table = np.zeros(tree.legal_actions.shape)
        for row, legal in zip(table, tree.legal_actions, strict=True):
            row[rng.choice(np.flatnonzero(legal))] = 1.0
        return table

    return draw


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """A function that returns the one-line error with which `compile_game` rejects a game."""

    def refuse(game_string: str, **options: Any) -> str:
        with pytest.raises(GameError) as caught:
            compile_game(game_string, cache=False, **options)
        message = str(caught.value)
        assert message
        assert "\n" not in message
        assert isinstance(caught.value, ValueError)
        return message

    return refuse
