"""Every registered meta-solver: shared properties, known equilibria, second implementations."""

import functools
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from open_spiel.python.algorithms import projected_replicator_dynamics as openspiel_prd
from open_spiel.python.algorithms import regret_matching as openspiel_regret_matching

from acme_psro.meta_game.payoffs import meta_regret, unit_payoffs, value
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import SOLVERS, check_solver_fits, get_solver
from acme_psro.solvers.properties import Concept, Domain, properties_of

# Solvers that return marginals; joint distributions have tests of their own.
ALL = sorted(name for name in SOLVERS if not properties_of(name).is_joint)
TWO_PLAYER_ZERO_SUM = ["max_entropy_nash", "nash"]
GENERAL = [name for name in ALL if properties_of(name).domain is Domain.ANY]
EQUILIBRIUM = [name for name in ALL if properties_of(name).concept is Concept.NASH]
# Largest regret, as a part of the payoff range, that a solver may leave on small zero-sum games.
TOLERANCE = {
    "nash": 1e-12,
    "max_entropy_nash": 2e-5,
    "prd": 2e-2,
    "regret_matching": 1e-3,
    "general_sum_nash": 1e-12,
}
# Solvers that depend on the order of policies, on the order of players, and on the unit of payoffs.
ORDER_OF_POLICIES = ["last_k"]
ORDER_OF_PLAYERS = ["shor", "shor_evaluation"]
UNIT_OF_PAYOFFS = ["shor", "shor_evaluation"]

ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def _zero_sum(row_payoffs: np.ndarray) -> np.ndarray:
    return np.stack([row_payoffs, -row_payoffs])


def _random_zero_sum(rows: int, columns: int, seed: int) -> np.ndarray:
    return _zero_sum(np.random.default_rng(seed).standard_normal((rows, columns)))


def _three_player_game() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((3, 2, 3, 4))


def _fits(name: str) -> list[np.ndarray]:
    two_players = [_random_zero_sum(2, 5, 0), _random_zero_sum(7, 3, 1), _random_zero_sum(1, 4, 2)]
    return [*two_players, _three_player_game()] if name in GENERAL else two_players


def _assert_distributions(meta_strategy: ProductStrategy, sizes: tuple[int, ...]) -> None:
    assert tuple(len(marginal) for marginal in meta_strategy.marginals) == sizes
    for marginal in meta_strategy.marginals:
        assert marginal.dtype == np.float64
        assert (marginal >= 0.0).all()
        assert marginal.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_returns_distributions_over_each_population(name: str) -> None:
    for payoffs in _fits(name):
        _assert_distributions(SOLVERS[name](payoffs), payoffs.shape[1:])


@pytest.mark.parametrize("name", ALL)
def test_is_deterministic_and_leaves_the_payoffs_alone(name: str) -> None:
    for payoffs in _fits(name):
        before = payoffs.copy()
        first, second = SOLVERS[name](payoffs), SOLVERS[name](payoffs)
        np.testing.assert_array_equal(payoffs, before)
        for one, other in zip(first.marginals, second.marginals, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ORDER_OF_POLICIES])
def test_permuting_policies_permutes_the_answer(name: str) -> None:
    # Random payoffs: the equilibrium is unique, so this holds for nash too. Few rounds, before
    # rounding in another order of sums has grown.
    fast = {key: {"iterations": 50} for key in ("prd", "regret_matching", "shor")}
    fast["shor_evaluation"] = {"iterations": 10}
    solve = functools.partial(SOLVERS[name], **fast.get(name, {}))
    for payoffs in _fits(name):
        orders = [np.random.default_rng(4).permutation(size) for size in payoffs.shape[1:]]
        permuted = payoffs[np.ix_(np.arange(len(payoffs)), *orders)]
        for plain, moved, order in zip(
            solve(payoffs).marginals, solve(permuted).marginals, orders, strict=True
        ):
            np.testing.assert_allclose(moved, plain[order], atol=1e-10)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ORDER_OF_PLAYERS])
def test_swapping_players_swaps_the_answer(name: str) -> None:
    payoffs = _random_zero_sum(4, 6, seed=5)
    swapped = payoffs[::-1].transpose(0, 2, 1)
    first, second = SOLVERS[name](payoffs).marginals
    swapped_first, swapped_second = SOLVERS[name](swapped).marginals
    np.testing.assert_allclose(swapped_first, second, atol=1e-10)
    np.testing.assert_allclose(swapped_second, first, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("constant", [0.0, 2.5])
def test_constant_payoffs(name: str, constant: float) -> None:
    payoffs = _zero_sum(np.full((3, 4), constant))
    meta_strategy = SOLVERS[name](payoffs)
    _assert_distributions(meta_strategy, (3, 4))
    np.testing.assert_allclose(value(payoffs, meta_strategy), [constant, -constant], atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_single_profile(name: str) -> None:
    # A rounding error between two float32 payoffs near zero is not a general-sum game.
    payoffs = np.array([[[3e-9]], [[-1e-9]]])
    for marginal in SOLVERS[name](payoffs).marginals:
        np.testing.assert_array_equal(marginal, [1.0])


@pytest.mark.parametrize("name", [n for n in ALL if n not in UNIT_OF_PAYOFFS])
@pytest.mark.parametrize("power", [-500, 900])
def test_scale_of_the_payoffs_does_not_matter(name: str, power: int) -> None:
    # By powers of two, so that the scaled payoffs carry the same digits; to 1e-150 and 1e270.
    payoffs = _random_zero_sum(5, 4, seed=6)
    scaled = SOLVERS[name](np.ldexp(payoffs, power))
    for one, other in zip(SOLVERS[name](payoffs).marginals, scaled.marginals, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        (np.zeros((2, 3)), "shape"),
        (np.zeros((2, 0, 3)), "player 0 has an empty population"),
        (_zero_sum(np.array([[0.0, np.nan]])), "NaN"),
    ],
)
def test_malformed_payoffs_are_refused(name: str, payoffs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SOLVERS[name](payoffs)


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_rock_paper_scissors_is_uniform(name: str) -> None:
    for marginal in SOLVERS[name](_zero_sum(ROCK_PAPER_SCISSORS)).marginals:
        np.testing.assert_allclose(marginal, np.full(3, 1 / 3), atol=TOLERANCE[name])


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_biased_cycle(name: str) -> None:
    # Winning with policy 0 pays 2: by indifference both play (1/4, 1/2, 1/4).
    cycle = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]])
    for marginal in SOLVERS[name](_zero_sum(cycle)).marginals:
        np.testing.assert_allclose(marginal, [0.25, 0.5, 0.25], atol=TOLERANCE[name])


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_biased_matching_pennies(name: str) -> None:
    # Matching on heads pays 3 and on tails 1, else -1: both play heads 1/3, worth 1/3.
    payoffs = _zero_sum(np.array([[3.0, -1.0], [-1.0, 1.0]]))
    meta_strategy = SOLVERS[name](payoffs)
    for marginal in meta_strategy.marginals:
        np.testing.assert_allclose(marginal, [1 / 3, 2 / 3], atol=TOLERANCE[name])
    np.testing.assert_allclose(value(payoffs, meta_strategy), [1 / 3, -1 / 3], atol=4 * TOLERANCE[name])


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_non_square_game_solved_by_dominance(name: str) -> None:
    # Row 1 beats row 0 everywhere; then the column player picks its least, column 2.
    payoffs = _zero_sum(np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 2.0]]))
    rows, columns = SOLVERS[name](payoffs).marginals
    np.testing.assert_allclose(rows, [0.0, 1.0], atol=TOLERANCE[name])
    np.testing.assert_allclose(columns, [0.0, 0.0, 1.0], atol=TOLERANCE[name])


@pytest.mark.parametrize("name", [n for n in GENERAL if n in EQUILIBRIUM])
def test_three_players_with_dominant_policies(name: str) -> None:
    # A public goods game: every contribution costs its player 1 and gives each of the three 0.5.
    # Not contributing (policy 0) dominates. A fourth, worse policy makes the tensor non-cubic.
    contributions = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1, 2], indexing="ij"))
    payoffs = 0.5 * contributions.sum(axis=0) - 1.0 * contributions
    for marginal in SOLVERS[name](payoffs).marginals:
        assert marginal[0] >= 1.0 - TOLERANCE[name]


@pytest.mark.parametrize("name", EQUILIBRIUM)
@pytest.mark.parametrize("seed", range(5))
def test_little_regret_in_random_zero_sum_games(name: str, seed: int) -> None:
    rows, columns = np.random.default_rng(seed).integers(5, 40, 2)
    payoffs = _random_zero_sum(rows, columns, seed)
    regret = meta_regret(payoffs, SOLVERS[name](payoffs)).max()
    assert regret <= TOLERANCE[name] * np.ptp(payoffs[0])


@pytest.mark.parametrize("seed", range(50))
def test_nash_cannot_be_improved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 60, 2)
    if seed % 2:
        row_payoffs = rng.standard_normal((rows, columns))
    else:  # Win, draw or loss: highly degenerate.
        row_payoffs = rng.choice([-1.0, 0.0, 1.0], (rows, columns))
    payoffs = _zero_sum(row_payoffs * 10.0 ** rng.integers(-6, 7))
    regret = meta_regret(payoffs, SOLVERS["nash"](payoffs))
    assert regret.max() <= 1e-9 * np.abs(payoffs).max()


def test_nash_with_nearly_duplicate_policies() -> None:
    # Policies 1e-6 apart, where HiGHS's first answer leaves a regret of 2e-7.
    rng = np.random.default_rng(87)
    order = np.sign(np.arange(37)[:, None] - np.arange(34))
    payoffs = _zero_sum(order + 1e-6 * rng.standard_normal((37, 34)))
    assert meta_regret(payoffs, SOLVERS["nash"](payoffs)).max() <= 1e-8


def test_nash_of_float32_payoffs() -> None:
    payoffs = _random_zero_sum(6, 6, seed=7)
    payoffs[1] += np.random.default_rng(0).uniform(-1e-7, 1e-7, (6, 6))
    assert meta_regret(payoffs, SOLVERS["nash"](payoffs)).max() <= 2e-7


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        (np.zeros((3, 2, 2, 2)), "takes two players, these payoffs have 3"),
        (np.ones((2, 2, 2)), "add up to as much as 2"),
        (1e6 * np.ones((2, 2, 2)), "zero-sum"),
    ],
)
def test_nash_names_the_solvers_that_fit(payoffs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        SOLVERS["nash"](payoffs)
    assert all(name in str(error.value) for name in ("prd", "regret_matching", "uniform"))


def test_uniform_is_uniform() -> None:
    for marginal, size in zip(SOLVERS["uniform"](_three_player_game()).marginals, (2, 3, 4), strict=True):
        np.testing.assert_array_equal(marginal, np.full(size, 1 / size))


@pytest.mark.parametrize(
    "solve",
    [
        SOLVERS["prd"],
        SOLVERS["regret_matching"],
        functools.partial(SOLVERS["regret_matching"], predictive=False),
    ],
    ids=["prd", "predictive", "plain"],
)
def test_more_iterations_leave_less_regret(solve: Callable[..., ProductStrategy]) -> None:
    games = [_random_zero_sum(8, 10, seed) for seed in range(10)]
    few, more, many = (
        np.mean([meta_regret(game, solve(game, iterations=count)).max() for game in games])
        for count in (30, 300, 3000)
    )
    assert more < few / 2
    assert many < more / 2


@pytest.mark.parametrize("sizes", [(6, 4), (2, 3, 4)])
def test_plain_regret_matching_follows_openspiel(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSpiel starts from regrets of 1e-6 rather than 0, and averages in the first strategies.
    monkeypatch.setattr(openspiel_regret_matching, "INITIAL_REGRET_DENOM", np.inf)
    payoffs = unit_payoffs(np.random.default_rng(8).standard_normal((len(sizes), *sizes)))
    expected = openspiel_regret_matching.regret_matching(list(payoffs), iterations=199, gamma=0.0)
    actual = SOLVERS["regret_matching"](payoffs, iterations=200, predictive=False)
    for one, other in zip(actual.marginals, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_predictive_regret_matching_against_openspiel_at_ten_times_the_rounds() -> None:
    ours, theirs = [], []
    for seed in range(4):
        payoffs = unit_payoffs(_random_zero_sum(30, 30, seed))
        predictive = SOLVERS["regret_matching"](payoffs, iterations=300)
        plain = openspiel_regret_matching.regret_matching(list(payoffs), iterations=3000)
        ours.append(meta_regret(payoffs, predictive).max())
        theirs.append(meta_regret(payoffs, ProductStrategy(tuple(plain))).max())
    assert np.mean(ours) < np.mean(theirs)


def test_prd_follows_the_replicator_equation() -> None:
    # One player, no floor: the replicator equation from uniform has the softmax of t * payoffs.
    payoffs = np.array([[0.0, 0.3, 1.0]])
    steps, dt = 2000, 1e-3
    times = np.arange(steps + 1) * dt
    weights = np.exp(times[:, None] * payoffs)
    expected = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    (actual,) = SOLVERS["prd"](payoffs, iterations=steps, dt=dt, gamma=0.0).marginals
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_prd_leaves_the_floor_where_the_l2_projection_does_not() -> None:
    # Strategies mostly at the floor for long, then wanted again: the reason for `use_approx`.
    rng = np.random.default_rng(0)
    strengths, noise = rng.standard_normal(100), rng.standard_normal((100, 100))
    payoffs = unit_payoffs(_zero_sum(np.tanh(2 * (strengths[:, None] - strengths)) + 0.3 * (noise - noise.T)))
    options = {"prd_iterations": 3000, "prd_dt": 1.0, "prd_gamma": 1e-6}
    l2_projected = ProductStrategy(
        tuple(openspiel_prd.projected_replicator_dynamics(list(payoffs), **options))
    )
    ours = SOLVERS["prd"](payoffs, iterations=3000, dt=1.0, gamma=1e-6)
    assert meta_regret(payoffs, ours).max() < 0.01
    assert meta_regret(payoffs, l2_projected).max() > 0.03


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("prd", {"iterations": 0}, "iterations is 0"),
        ("prd", {"dt": 0.0}, "dt is 0.0"),
        ("prd", {"dt": 1.5}, "dt is 1.5"),
        ("prd", {"dt": float("nan")}, "dt is nan"),
        ("prd", {"gamma": -1e-9}, "gamma is -1e-09"),
        ("prd", {"gamma": 0.4}, "0 to 1 / 3"),
        ("regret_matching", {"iterations": 0}, "iterations is 0"),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SOLVERS[name](_zero_sum(ROCK_PAPER_SCISSORS), **options)


def test_get_solver() -> None:
    assert all(get_solver(name) is SOLVERS[name] for name in ALL)
    with pytest.raises(ValueError, match="'nahs'") as error:
        get_solver("nahs")
    assert all(name in str(error.value) for name in ALL)


def test_every_solver_fits_two_player_zero_sum_games() -> None:
    for name in ALL:
        check_solver_fits(name, num_players=2, zero_sum=True)


@pytest.mark.parametrize(
    ("num_players", "zero_sum", "kind"),
    [(3, True, "this one is 3-player;"), (2, False, "this one is general-sum;")],
)
def test_solvers_that_do_not_fit_are_refused(num_players: int, zero_sum: bool, kind: str) -> None:
    for name in GENERAL:
        check_solver_fits(name, num_players, zero_sum)
    for name in TWO_PLAYER_ZERO_SUM:
        with pytest.raises(ValueError, match=kind) as error:
            check_solver_fits(name, num_players, zero_sum)
        assert all(fitting in str(error.value) for fitting in GENERAL)
    with pytest.raises(ValueError, match="no meta-solver named"):
        check_solver_fits("nahs", num_players, zero_sum)


def test_importing_and_running_the_general_solvers_imports_nothing_heavy() -> None:
    script = (
        "import sys, numpy as np; from acme_psro.solvers import SOLVERS;"
        "[SOLVERS[name](np.zeros((2, 2, 2))) for name in sys.argv[1:]];"
        "heavy = {'scipy', 'jax', 'cvxpy', 'pyspiel', 'tensorflow'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *GENERAL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
