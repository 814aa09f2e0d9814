"""OpenSpiel games: compiled to arrays, simulated on the device, or played as environments."""
