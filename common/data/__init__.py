"""Images to learn from: the data sets, one's own files, the embedded samples, drawn facades.

A reader of the scripts needs `datasets` (images with labels) and `facades` (photos with label
maps), and of those only what their loaders return; the other modules read files.
"""
