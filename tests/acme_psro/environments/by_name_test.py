"""Tests of environments by name: specs, episodes, seeds, ends of episodes, and errors."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import dm_env
import gymnasium
from dm_control import suite
from dm_env import specs

from acme_psro.environments.by_name import make_environment
from acme_psro.environments.gymnasium_environment import GymnasiumWrapper
from acme_psro.environments.wrappers import FiniteWrapper, NonFiniteError
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.tabular import mixture_plan
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config

NAMES = [
    "dm_control:cartpole:swingup",
    # Its observations include scalars, and those of the next one matrices.
    "dm_control:humanoid:walk",
    "dm_control:manipulator:bring_ball",
    "gymnasium:HalfCheetah-v5",
    "gymnasium:Walker2d-v5",
    "gymnasium:Pendulum-v1",
    "gymnasium:CartPole-v1",
    "openspiel:leduc_poker",
    "openspiel:goofspiel(imp_info=True,num_cards=4,points_order=descending)",
]


def act(rng: np.random.Generator, spec: specs.BoundedArray, observation: Any) -> np.ndarray:
    if not isinstance(spec, specs.DiscreteArray):
        return rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(spec.dtype)
    legal = getattr(observation, "legal_actions", np.ones(spec.num_values))
    return rng.choice(np.flatnonzero(legal)).astype(spec.dtype)


def play(env: dm_env.Environment, steps: int, seed: int = 0) -> list[dm_env.TimeStep]:
    """Takes random actions, in as many episodes as that needs."""
    rng = np.random.default_rng(seed)
    timesteps = [env.reset()]
    for _ in range(steps):
        timesteps.append(env.step(act(rng, env.action_spec(), timesteps[-1].observation)))
    return timesteps


def numbers(timesteps: list[dm_env.TimeStep]) -> list[np.ndarray]:
    """Returns all rewards, discounts and observations as arrays."""
    values = []
    for _, reward, discount, observation in timesteps:
        fields = observation if isinstance(observation, tuple) else (observation,)
        values += [np.asarray(value, float) for value in (reward, discount, *fields)]
    return values


@pytest.mark.parametrize("name", NAMES)
def test_timesteps_keep_to_the_specs(name: str) -> None:
    env = make_environment(name, 0)
    observation = env.observation_spec()
    fields = observation if isinstance(observation, tuple) else (observation,)
    for timestep in play(env, 60):
        values = timestep.observation
        for spec, value in zip(fields, values if isinstance(values, tuple) else (values,), strict=True):
            spec.validate(value)
        if not timestep.first():
            env.reward_spec().validate(timestep.reward)
            env.discount_spec().validate(timestep.discount)
    if not name.startswith("openspiel"):
        assert observation.dtype == np.float32
        assert len(observation.shape) == 1
    action = env.action_spec()
    if not isinstance(action, specs.DiscreteArray):
        assert action.dtype == np.float32
        assert (action.minimum == -1.0).all()
        assert (action.maximum == 1.0).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_episodes(name: str) -> None:
    once, again, other = (numbers(play(make_environment(name, seed), 30)) for seed in (5, 5, 6))
    assert all(np.array_equal(*pair, equal_nan=True) for pair in zip(once, again, strict=True))
    assert not all(np.array_equal(*pair, equal_nan=True) for pair in zip(once, other, strict=True))


def test_every_episode_of_a_seed_is_another() -> None:
    env = make_environment("gymnasium:Pendulum-v1", 0)
    assert (env.reset().observation != env.reset().observation).any()


def test_control_suite_is_told_as_it_is() -> None:
    env, raw = make_environment("dm_control:humanoid:walk", 7), suite.load("humanoid", "walk", {"random": 7})
    timestep, expected = env.reset(), raw.reset()
    action = np.full(raw.action_spec().shape, 0.25, np.float32)
    for _ in range(10):
        values = np.concatenate([np.ravel(value) for value in expected.observation.values()])
        np.testing.assert_allclose(timestep.observation, values, rtol=1e-5)
        timestep, expected = env.step(action), raw.step(action)
        assert timestep.reward == pytest.approx(expected.reward, abs=1e-6)


def test_actions_are_scaled_to_the_bounds_of_the_task() -> None:
    env, raw = make_environment("gymnasium:Pendulum-v1", 0), gymnasium.make("Pendulum-v1")
    expected, _ = raw.reset(seed=0)
    np.testing.assert_array_equal(env.reset().observation, expected)
    # A torque is at most 2; what is beyond the bounds is clipped.
    for action, torque in ((0.5, 1.0), (-1.0, -2.0), (3.0, 2.0)):
        timestep = env.step(np.array([action], np.float32))
        expected, reward, *_ = raw.step(np.array([torque], np.float32))
        np.testing.assert_allclose(timestep.observation, expected, rtol=1e-6)
        assert timestep.reward == pytest.approx(reward)


def test_a_limit_on_steps_is_no_end_of_the_task() -> None:
    for name, steps in (("gymnasium:Pendulum-v1", 200), ("dm_control:cartpole:swingup", 1000)):
        *_, last = play(make_environment(name, 0), steps)
        assert last.last()
        assert last.discount == 1.0


def test_a_fallen_pole_is_the_end() -> None:
    timesteps = play(make_environment("gymnasium:CartPole-v1", 0), 100)
    ends = [timestep for timestep in timesteps if timestep.last()]
    assert ends
    assert all(end.discount == 0.0 for end in ends)
    assert all(step.discount == 1.0 for step in timesteps if step.mid())


class Scripted(gymnasium.Env):
    """An environment whose second step has given ends and values. It records its actions."""

    def __init__(self, ends: tuple[bool, bool] = (False, False), values: tuple[float, float] = (0.0, 0.0)):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
        self.action_space = gymnasium.spaces.Discrete(3, start=5)
        self.ends, self.values, self.steps = ends, values, 0
        self.actions: list[int] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        self.actions.append(action)
        ends = self.ends if self.steps == 2 else (False, False)
        observation, reward = self.values if self.steps == 2 else (0.0, 0.0)
        return np.array([observation]), reward, *ends, {}


@pytest.mark.parametrize(
    ("ends", "discount"), [((True, False), 0.0), ((False, True), 1.0), ((True, True), 0.0)]
)
def test_termination_ends_and_truncation_does_not(ends: tuple[bool, bool], discount: float) -> None:
    env = GymnasiumWrapper(Scripted(ends), seed=0)
    assert env.step(0).first()
    assert env.step(0).mid()
    last = env.step(2)
    assert last.last()
    assert last.discount == discount
    assert env.step(0).first()
    assert env._environment.actions == [5, 7]


@pytest.fixture
def broken() -> Iterator[list[float]]:
    """Registers `Broken-v0`, whose second step has these two numbers as observation and reward."""
    values = [0.0, 0.0]
    gymnasium.register("Broken-v0", lambda: Scripted(values=(values[0], values[1])))
    yield values
    del gymnasium.registry["Broken-v0"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize(("place", "field"), [(0, "observation"), (1, "reward")])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_is_no_number_stops(broken: list[float], value: float, place: int, field: str) -> None:
    broken[place] = value
    env = make_environment("gymnasium:Broken-v0", 0)
    env.reset()
    env.reset()
    env.step(0)
    message = f"^gymnasium:Broken-v0: {field} is NaN or infinite at step 2 of episode 2[.]$"
    with pytest.raises(NonFiniteError, match=message):
        env.step(0)


def test_an_action_that_is_no_number_stops_before_it_is_played() -> None:
    env = make_environment("dm_control:cartpole:swingup", 0)
    env.reset()
    message = "^dm_control:cartpole:swingup: action is NaN or infinite at step 1 of episode 1"
    with pytest.raises(NonFiniteError, match=message):
        env.step(np.array([np.nan], np.float32))


def test_fields_of_observations_are_named() -> None:
    env = make_environment("openspiel:kuhn_poker", 0)
    assert isinstance(env, FiniteWrapper)
    start = env.reset()
    start.observation.info_state[3] = np.inf
    with pytest.raises(NonFiniteError, match=r"openspiel:kuhn_poker: observation\.info_state is NaN"):
        env._checked(start)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cartpole", "use dm_control:DOMAIN:TASK, gymnasium:ID or openspiel:GAME"),
        ("atari:pong", "unknown environment 'atari:pong': use dm_control"),
        ("openspiel:", "unknown environment"),
        ("dm_control:cartpole", "did you mean cartpole:swingup"),
        ("dm_control:cartpol:swingup", "did you mean cartpole:swingup"),
        ("dm_control:zzz", "its domains are acrobot, .*, walker"),
        ("gymnasium:HalfChetah-v5", "did you mean HalfCheetah-v5"),
        ("gymnasium:HalfCheetah-v99", "did you mean HalfCheetah-v5"),
        ("gymnasium:no_such_module:Ant-v5", "No module named 'no_such_module'"),
        ("gymnasium:not an id", "Malformed environment ID"),
        ("gymnasium:LunarLander-v3", "Box2D is not installed"),
        ("gymnasium:FrozenLake-v1", r"observations are Discrete\(16\); only a flat Box"),
        ("openspiel:kun_poker", "unknown game 'kun_poker': did you mean kuhn_poker"),
        ("openspiel:coordinated_mp", "offers no tensors"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_environment(name, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("action", [(-np.inf, np.inf, (2,)), (-1.0, np.inf, (2,)), (-1.0, 1.0, (2, 2))])
def test_actions_without_bounds_or_in_matrices_are_refused(action: tuple[Any, ...]) -> None:
    env = Scripted()
    env.action_space = gymnasium.spaces.Box(*action)
    with pytest.raises(ValueError, match="only Discrete and a bounded flat Box are supported"):
        GymnasiumWrapper(env, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"--seed must be from 0 to 4294967295, not {seed}"):
        make_environment("openspiel:kuhn_poker", seed)


def test_players_and_opponents_are_for_games_only(tmp_path: pathlib.Path) -> None:
    for options in ({"player": 1}, {"opponent": str(tmp_path)}):
        with pytest.raises(ValueError, match="are for openspiel:GAME, not for gymnasium:CartPole-v1"):
            make_environment("gymnasium:CartPole-v1", 0, **options)
    with pytest.raises(ValueError, match="has no player 2"):
        make_environment("openspiel:kuhn_poker", 0, player=2)


def leave_run(directory: pathlib.Path, game: str) -> float:
    """Writes a run of the exact oracle to a directory.

    Returns:
      The expected return of player 1, who plays uniformly, against the run's mixture.
    """
    tree = compile_game(game)
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver("nash"))
    state = loop.initialise(meta_game, psro)
    steps = loop.run(
        state,
        seed=0,
        iterations=3,
        oracle=exact.make_oracle(tree),
        meta_game=meta_game,
        loop=psro,
        converged=lambda state: False,
    )
    *_, state = steps
    write_config(directory, {"game": game})
    record = Record(state, [{"iteration": 0}], [state.meta_strategy])
    checkpoint.save(directory / "checkpoints", record, formats.of_tree(tree))
    # The mixture's plan, in which player 1's part is replaced by the uniform policy's.
    plan = mixture_plan(tree, state.populations, state.meta_strategy.marginals)
    uniform = traverse.realisation_plan(tree, tree.uniform_policy())
    own = tree.infosets_of(1)
    columns = slice(own.start * tree.num_actions, own.stop * tree.num_actions)
    plan[columns] = uniform[columns]
    return float(traverse.expected_returns(tree, plan)[1])


def test_the_mixture_of_a_run_is_the_opponent(tmp_path: pathlib.Path) -> None:
    expected = leave_run(tmp_path, "kuhn_poker")
    env = make_environment("openspiel:kuhn_poker", 0, player=1, opponent=str(tmp_path))
    returns, total = [], 0.0
    for timestep in play(env, 9000):
        total = 0.0 if timestep.first() else total + float(timestep.reward)
        if timestep.last():
            returns.append(total)
    assert len(returns) > 3000
    assert abs(np.mean(returns) - expected) < 4 * np.std(returns) / np.sqrt(len(returns))


def test_a_run_of_another_game_is_refused(tmp_path: pathlib.Path) -> None:
    leave_run(tmp_path, "kuhn_poker")
    with pytest.raises(ValueError, match=r"plays kuhn_poker\(\), not leduc_poker\(\): choose another"):
        make_environment("openspiel:leduc_poker", 0, opponent=str(tmp_path))
    with pytest.raises(ValueError, match="no run in"):
        make_environment("openspiel:leduc_poker", 0, opponent=str(tmp_path / "nothing"))


def test_warnings_of_mujoco_leave_no_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Its model has an attribute that MuJoCo calls deprecated.
    make_environment("gymnasium:HalfCheetah-v5", 0)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_control_suite_needs_no_display() -> None:
    program = (
        "from acme_psro.environments.by_name import make_environment as make; "
        "env = make('dm_control:cartpole:swingup', 0); env.reset(); "
        "print(env.step(env.action_spec().generate_value()).mid())"
    )
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MUJOCO_GL")}
    done = subprocess.run([sys.executable, "-c", program], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"
    assert "DISPLAY" not in done.stderr
