"""Judges: small networks, trained on real images, that measure how good generated images are.

`networks` has a classifier for images of classes and a segmenter for images drawn from label maps;
`metrics` computes figures from their outputs, and `scores` all figures of a set of images. You can
read the training scripts without knowing any of it.
"""
