"""What is built on Keras models: freezing, averaging, optimizers, faster steps, saved files.

A reader of the scripts needs `freezing`, a page on how to freeze a discriminator on Keras 3, and
`averaging`; the training works the same without the others, only slower or less safely.
"""
