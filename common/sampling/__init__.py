"""Pictures from saved generators: finding a generator, sampling it, interpolating its inputs.

To understand the training scripts you need none of it. To understand `generate.py`, begin with
`interpolation`.

A new kind of picture is a function here that writes it, and an option and a branch in
`generate.py`; `learning` is the smallest example.
"""
