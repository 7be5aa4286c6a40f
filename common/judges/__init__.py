"""Judges: small networks, trained on real images, that measure how good generated images are.

`classifier` judges images of classes, `segmenter` judges images drawn from label maps; `metrics`
computes figures from their outputs. You can read the training scripts without knowing any of it.
"""
