"""Tests of population_runs.settings: names and types of settings in groups."""

import subprocess
import sys
from typing import Any

import pytest

from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.settings import check_settings

KUHN = "kuhn_poker"


@pytest.mark.parametrize(
    ("oracle", "group", "given", "typed"),
    [
        ("device", "device", {"snapshots": 20}, {"snapshots": 20}),
        ("device", "device", {"enough": 1}, {"enough": 1.0}),
        ("device", "agent_settings", {"critic_hidden_sizes": [8, 8]}, {"critic_hidden_sizes": (8, 8)}),
        ("device", "agent_settings", {"renorm_r_max": "inf"}, {"renorm_r_max": float("inf")}),
        ("launchpad", "launchpad", {"trembles": 0}, {"trembles": 0.0}),
        ("launchpad", "simulation", {"gain_episodes": 9}, {"gain_episodes": 9}),
        ("launchpad", "agent_settings", {"horizon": 9}, {"horizon": 9}),
    ],
)
def test_settings_get_their_types(oracle: str, group: str, given: Any, typed: Any) -> None:
    config = PSROConfig(KUHN, oracle=oracle, **{group: given})
    found = getattr(check_settings(config), group)
    assert found == typed
    assert [type(value) for value in found.values()] == [type(value) for value in typed.values()]


@pytest.mark.parametrize(
    ("oracle", "group", "given", "says"),
    [
        (
            "device",
            "device",
            {"snapshot": 3},
            "no setting 'snapshot' in device: did you mean device.snapshots?",
        ),
        ("device", "agent_settings", {"num_envs": 3}, "did you mean device.num_envs?"),
        ("launchpad", "agent_settings", {"snapshots": 3}, "did you mean launchpad.snapshots?"),
        ("launchpad", "launchpad", {"gain_episodes": 3}, "did you mean simulation.gain_episodes?"),
        (
            "device",
            "agent_settings",
            {"colour": 3},
            "'colour' in agent_settings: agent_settings has critic_hidden",
        ),
        (
            "device",
            "device",
            {"snapshots": 2.5},
            "device's snapshots must be a whole number, such as 10, not 2.5.",
        ),
        ("device", "device", {"snapshots": True}, "device's snapshots must be a whole number"),
        ("device", "device", {"snapshots": 0}, "snapshots must be at least 1, not 0."),
        ("device", "device", {"trembles": 2}, "trembles must lie in [0, 1], not 2.0."),
        ("device", "agent_settings", {"learning_rate": "x"}, "crossq's learning_rate must be a number"),
        ("device", "agent_settings", {"horizon": 9}, "horizon follows from device.gradient_steps"),
        ("launchpad", "launchpad", {"lp_launch_type": 3}, "launchpad's lp_launch_type must be text"),
        ("launchpad", "simulation", {"payoff_episodes": 1}, "payoff_episodes must be at least 2, not 1."),
    ],
)
def test_other_settings_are_refused_in_one_line(oracle: str, group: str, given: Any, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        check_settings(PSROConfig(KUHN, oracle=oracle, **{group: given}))
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_payoffs_that_members_estimate_have_no_extra_episodes() -> None:
    simulation = {"extra_payoff_episodes": 9}
    config = PSROConfig(
        KUHN, oracle="launchpad", agent="conditional_mpo", loop="neupl", simulation=simulation
    )
    with pytest.raises(ValueError, match="extra_payoff_episodes has no effect with --loop=neupl"):
        check_settings(config)


def test_exact_responses_need_no_jax() -> None:
    program = (
        "import sys; from acme_psro.population_runs.config import PSROConfig; "
        "from acme_psro.population_runs.settings import check_settings; "
        "check_settings(PSROConfig('kuhn_poker', oracle='exact')); print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
