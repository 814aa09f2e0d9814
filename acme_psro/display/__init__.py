"""Progress display, TensorBoard events and HTML report of a run."""
