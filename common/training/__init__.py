"""A training run from its command line to its last checkpoint.

A reader of the scripts needs the docstring of `run`, which shows what `main` and `train` call;
the other modules write the run folder, resume a run, and show its progress.
"""
