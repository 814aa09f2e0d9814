"""Calls `acme-psro agent`: `python -m experiments.run_agent --FLAG=VALUE ..`."""

from acme_psro.commands import run_agent

if __name__ == "__main__":
    run_agent.start()
