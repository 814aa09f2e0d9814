"""Calls `acme-psro evaluate`: `python -m experiments.evaluate --FLAG=VALUE ..`."""

from acme_psro.commands import evaluate

if __name__ == "__main__":
    evaluate.start()
