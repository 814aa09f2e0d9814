"""Games between a person in a terminal and the policies of a run."""
