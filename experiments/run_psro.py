"""Calls `acme-psro run`: `python -m experiments.run_psro --FLAG=VALUE ..`."""

from acme_psro.commands import run_psro

if __name__ == "__main__":
    run_psro.start()
