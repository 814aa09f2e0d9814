"""Files, processes and cores: what the packages need of the machine; knows no game."""
