"""NeuPL as one long-lived Launchpad program: replay, learner, actors, and a node that serves the graph."""
