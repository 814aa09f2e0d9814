"""Callbacks of a run: one of your own, Weights & Biases, and MLflow."""

# [start:imports]
import importlib

import acme_psro
from acme_psro.population_runs.events import IterationEnded, ResponseFound, RunEnded, RunStarted

# [end:imports]


# [start:own]
class Watch(acme_psro.Callback):
    """Prints what each response gains, and stops the run when that is little."""

    def on_response(self, event: ResponseFound) -> None:
        print(f"iteration {event.iteration}: player {event.player} gains {event.response.gain:.4f}")

    def on_iteration(self, event: IterationEnded) -> None:
        if event.row["exploitability"] < 0.09:
            raise acme_psro.StopRun("good enough")


# [end:own]


# [start:wandb]
class WeightsAndBiases(acme_psro.Callback):
    """Logs a run to Weights & Biases."""

    def on_start(self, event: RunStarted) -> None:
        self._run = importlib.import_module("wandb").init(project="psro", config=dict(event.config))
        self._run.define_metric("*", step_metric="iteration")

    def on_iteration(self, event: IterationEnded) -> None:
        for row in event.changed_rows():
            self._run.log(row)

    def on_end(self, event: RunEnded) -> None:
        self._run.finish()


# [end:wandb]


# [start:mlflow]
class MLflow(acme_psro.Callback):
    """Logs a run and its report to MLflow, inside `with mlflow.start_run():`."""

    def on_start(self, event: RunStarted) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.log_params(event.config)

    def on_iteration(self, event: IterationEnded) -> None:
        for row in event.changed_rows():
            self._mlflow.log_metrics(row, step=int(row["iteration"]))

    def on_end(self, event: RunEnded) -> None:
        self._mlflow.log_artifact(str(event.run_dir / "report.html"))


# [end:mlflow]

# [start:run]
result = acme_psro.run("kuhn_poker", oracle="exact", callbacks=[Watch()])
print(f"stopped: exploitability {result.metrics[-1]['exploitability']:.4f}")

result = acme_psro.run("kuhn_poker", oracle="exact", output_dir=result.run_dir, resume=True)
print(f"resumed: exploitability {result.metrics[-1]['exploitability']:.4f}")
# [end:run]
