"""Pictures from saved generators: finding them, sampling them, walking between their inputs.

A reader of the training scripts needs nothing of it; a reader of `generate.py` will want
`interpolation` first.
"""
