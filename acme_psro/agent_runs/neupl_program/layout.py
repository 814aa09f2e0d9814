"""NeuPL as a Launchpad program: replay, counter, learner, graph node and actors.

Learner, replay and counter are those of a run of one agent. The functions that make the workers are in this
module, so that a process that unpickles one of them imports `agents.acme_layer.compat` before Acme.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
import reverb
from acme import core
from acme.jax import utils
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program import exact_figures, parts
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.frozen import FixedPolicies
from acme_psro.agent_runs.neupl_program.graph_node import GraphNode
from acme_psro.agent_runs.neupl_program.matches import Matches
from acme_psro.agent_runs.neupl_program.members import Members
from acme_psro.agent_runs.neupl_program.tournament import Tournament
from acme_psro.agent_runs.neupl_program.variables import SharedVariables
from acme_psro.agent_runs.parts import Parts
from acme_psro.agent_runs.program.layout import AgentLayout
from acme_psro.agent_runs.program.learning import LearnerRunner
from acme_psro.agent_runs.program.workers import POLL_SECONDS, ReportingLoop, reporting
from acme_psro.games.compile import compile_game
from acme_psro.games.identity import name_game
from acme_psro.games.loading import GameError
from acme_psro.neupl.payoff_estimator import Outcomes
from acme_psro.neupl.sinks import read_sinks
from acme_psro.policies import decoders
from agents.acme_layer.batched_acting import BatchedLoop
from agents.core import Key


class NeuPLLayout(AgentLayout):
    """The nodes of NeuPL's program.

    Args:
      config: configuration of the program.
      made: its components, see `acme_psro.agent_runs.neupl_program.parts`.
      directory: its directory, which exists.
    """

    def __init__(self, config: NeuPLProgramConfig, made: Parts, directory: Path) -> None:
        super().__init__(config.run, made, directory)
        self._program = config

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> LearnerRunner:
        """Makes the worker of the learner's node."""
        with reporting(self._directory):
            learner = self._builder.make_learner(
                random_key,
                self._network_factory(self._environment_spec),
                self._builder.make_dataset_iterator(replay),
                replay,
                counting.Counter(counter, "learner"),
            )
            return PopulationLearner(learner, counter, self._config, self._directory)

    def graph(self, variable_source: core.VariableSource, counter: counting.Counter) -> GraphNode:
        """Makes the worker of the node that serves the graph."""
        with reporting(self._directory):
            about = parts.describe(self._program, self._agent)
            measure = None
            if self._program.max_nodes:
                try:
                    tree = compile_game(self._program.game, self._program.max_nodes)
                    measure = functools.partial(exact_figures.measure, tree)
                except GameError:
                    # Without exact payoffs these figures are a courtesy: the game is learned all the same.
                    if self._program.payoffs == "exact":
                        raise
            return GraphNode(self._program, self._directory, about, variable_source, counter, measure)

    def player(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        graph_node: Any,
        actor_id: int,
    ) -> ReportingLoop:
        """Makes the worker of an actor's node."""
        with reporting(self._directory):
            config, spec = self._program, self._environment_spec
            key, *others = jax.random.split(random_key, 3)
            seeds = [int(utils.sample_uint32(each)) for each in others]
            networks = self._network_factory(spec)
            source = SharedVariables(variable_source)
            served = graph_node.get_graph()
            fixed = FixedPolicies(self._directory)
            probs = jax.jit(self._agent.make_core(networks).probs)
            sinks = read_sinks(config.members, name_game(config.game))
            opposing = {each: decoders.decode(sink, decoders.DECODERS) for each, sink in sinks.items()}
            members = Members(config.game, probs, source.newest, served.graph, opposing, fixed(served.fixed))

            offered = served.epoch

            def report(played: Outcomes) -> None:
                nonlocal offered
                newest = graph_node.add_games(*played)
                if newest.epoch != offered:
                    games.offer(newest.graph, fixed(newest.fixed))
                    offered = newest.epoch

            tournament = Tournament(
                config.game, members, config.evaluation, config.evaluation_games, report, seeds[0]
            )
            games = Matches(
                config.game, config.games_per_actor, members, config.members, seeds[1], tournament.add_ended
            )
            builder = self._agent.builder
            adder = builder.make_batch_adder(replay, games.num_games, games.nothing)
            actor = builder.make_batched_actor(key, networks, spec, source, adder)
            logger = self._actor_logger_fn(actor_id)
            loop = BatchedLoop(games, actor, counting.Counter(counter, "actor"), logger)
            return ReportingLoop(loop, self._directory)

    def build(self, name: str = "neupl", program: lp.Program | None = None) -> lp.Program:
        """Returns the Launchpad program."""
        made = lp.Program(name=name) if program is None else program
        learner_key, *keys = jax.random.split(jax.random.PRNGKey(self._config.seed), 1 + self._num_actors)
        replay_node = lp.ReverbNode(self.replay)
        with made.group("counter"):
            counter = made.add_node(lp.CourierNode(self.counter))
        if self._config.has_replay_process:
            with made.group("replay"):
                replay = made.add_node(replay_node)
        else:
            replay = replay_node.create_handle()
        learner_node = lp.CourierNode(self.learner, learner_key, replay, counter)
        with made.group("learner"):
            if self._config.has_replay_process:
                learner = made.add_node(learner_node)
            else:
                learner = learner_node.create_handle()
                made.add_node(lp.MultiThreadingColocation([learner_node, replay_node]))
        with made.group("graph"):
            graph = made.add_node(lp.CourierNode(self.graph, learner, counter))
        with made.group("actor"):
            for number, key in enumerate(keys):
                made.add_node(lp.CourierNode(self.player, key, replay, learner, counter, graph, number))
        return made


class PopulationLearner(LearnerRunner):
    """Learner's worker whose policies are stored by the graph node."""

    def _finish(self) -> None:
        run_directory.finish(self._directory)
        # A node that ends before the program is stopped counts as lost.
        while not lp.wait_for_stop(POLL_SECONDS):
            pass
