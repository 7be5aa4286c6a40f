"""Pictures from saved generators: finding a generator, sampling it, interpolating its inputs.

To understand the training scripts you need none of it. To understand `generate.py`, begin with
`interpolation`.
"""
