"""A training run, from its command line to its last checkpoint.

To understand the scripts, read the docstring of `run`, which shows what `main` and `train` call.
The other modules write the run folder, resume a run, and show its progress.
"""
