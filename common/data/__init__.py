"""The images to train on: data sets, the user's own files, embedded samples.

To understand the scripts you need to know what the loaders in `datasets` (images with labels) and
`facades` (photos with label maps) return. The other modules read files.

To add a data set, write a loader that returns a `datasets.Dataset` and give it to `run.load` in a
script; to show it with `python -m common.data`, add it to `__main__`.
"""
