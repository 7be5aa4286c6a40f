"""Pictures from saved generators: finding a generator, choosing its inputs, judging its images.

To understand the training scripts you need none of it. To understand `generate.py`, begin with
`inputs`.

A new kind of picture is a function here that writes it, and in `generate.py` an option, a line in
the table of what goes with what, and a branch; `learning` is the smallest example.
"""
