"""Neural population learning (NeuPL): all members of a population in one conditional network."""
