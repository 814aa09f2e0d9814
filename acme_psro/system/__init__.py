"""Files, processes and processor cores: services of the machine that know nothing about games."""
