"""Judges say how good generated images are: small networks that have learnt from real images.

`classifier` is for images with a class, `segmenter` for pictures of label maps; `metrics` makes
figures of what they see. A reader of the training scripts needs nothing of it.
"""
