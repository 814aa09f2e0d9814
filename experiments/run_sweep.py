"""Calls `acme-psro sweep`: `python -m experiments.run_sweep --FLAG=VALUE ..`."""

from acme_psro.commands import run_sweep

if __name__ == "__main__":
    run_sweep.start()
