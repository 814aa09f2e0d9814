"""Calls `acme-psro play`: `python -m experiments.play --FLAG=VALUE ..`."""

from acme_psro.commands import play

if __name__ == "__main__":
    play.start()
