"""Calls `acme-psro neupl`: `python -m experiments.run_neupl --FLAG=VALUE ..`."""

from acme_psro.commands import run_neupl

if __name__ == "__main__":
    run_neupl.start()
