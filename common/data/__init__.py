"""The images to train on: data sets, the user's own files, embedded samples.

To understand the scripts you need to know what the loaders in `datasets` (images with labels) and
`facades` (photos with label maps) return. The other modules read files.
"""
