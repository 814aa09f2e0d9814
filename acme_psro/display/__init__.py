"""Progress, events, figures and reports of a run."""
