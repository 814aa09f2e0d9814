"""Calls `acme-psro self-play`: `python -m experiments.run_self_play --FLAG=VALUE ..`."""

from acme_psro.commands import run_self_play

if __name__ == "__main__":
    run_self_play.start()
