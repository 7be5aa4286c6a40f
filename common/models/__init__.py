"""Helpers for Keras models: freezing, averaging, faster training steps, saved files.

To understand the scripts, read `freezing`, on how to freeze a discriminator on Keras 3, and
`averaging`. The other modules make training faster and safer, and save and load models.
"""
