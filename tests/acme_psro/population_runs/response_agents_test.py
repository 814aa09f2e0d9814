"""Tests of acme_psro.population_runs.response_agents."""

import jax
import jax.numpy as jnp
import pytest

from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_agent
from agents import registry
from agents.core import Observation, join

_SMALL = {
    "critic_hidden_sizes": (4,),
    "policy_hidden_sizes": (4,),
    "temperature": 0.5,
    "final_temperature": 0.05,
}


def _config(**settings: object) -> PSROConfig:
    return PSROConfig("kuhn_poker", agent_settings={**_SMALL, **settings})


@pytest.mark.parametrize("agent", registry.response_agents())
def test_every_agent_acts_on_what_it_was_made_for(agent: str) -> None:
    config = PSROConfig("kuhn_poker", agent=agent)
    rows = Observation(jnp.ones((1, 5)), jnp.array([[True, False, True]]), jnp.zeros((1, 0)))
    core = make_agent(config)(rows, 3, 100)
    probs = core.probs(core.variables(core.init(jax.random.key(0))), rows)
    assert probs.shape == (1, 3)
    assert float(probs[0, 1]) == 0.0
    assert float(probs.sum()) == pytest.approx(1.0, abs=1e-5)


def test_the_temperature_falls_over_the_budget_of_a_response() -> None:
    rows = Observation(jnp.ones((1, 5)), jnp.ones((1, 3), bool), jnp.zeros((1, 0)))
    core = make_agent(_config(horizon=7))(rows, 3, 40)
    batch = join(rows, jnp.array([0]), jnp.ones(1), jnp.zeros(1), rows)
    update, state = jax.jit(core.update), core.init(jax.random.key(0))
    temperatures = [
        float(update(state._replace(step=jnp.int32(s)), batch)[1]["temperature"]) for s in (0, 20, 30)
    ]
    assert temperatures == pytest.approx([0.5, 0.5 * 0.1**0.5, 0.5 * 0.1**0.75], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"exploration": 2.0}, r"exploration must lie in \[0, 1\], not 2\.0"),
        ({"exploration": "much"}, r"^crossq's exploration must be a number, such as 0\.1, not 'much'\.$"),
        ({"colour": "red"}, r"^crossq has no setting 'colour'; it has critic_hidden_sizes, "),
    ],
)
def test_settings_that_the_agent_does_not_allow_are_refused_before_anything_is_built(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        make_agent(_config(**settings))
