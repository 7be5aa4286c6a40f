"""An exponential moving average of the generator's weights over the training steps.

The two networks of a GAN keep reacting to each other, so the generator's weights move around a good
solution rather than towards it. Their average over the last thousand steps or so is nearer to that
solution: its images are cleaner and more varied (Yazıcı et al. 2019, arXiv 1806.04498). The average
is not used in training, so training is the same with and without it.
"""

from common.backend import keras
from common.backend import tensorflow as tf


class MovingAverage:
    """Copies of models, in which each variable is the moving average of the original variable.

    After step t the average becomes d * average + (1 - d) * variable, where
    d = min(decay, (1 + t) / (10 + t)). So it forgets the first steps quickly, and later covers
    about the last 1 / (1 - decay) steps. The moving statistics of batch normalisation are averaged
    like weights. Integers, such as the seeds of dropout layers, are copied.

    Args:
        models: built models.
        decay: from 0 to less than 1. With 0 there are no copies; `of` returns the model itself.
    """

    def __init__(self, *models, decay):
        self._decay, self._models, self._copies = decay, models, models
        # A checkpoint saves `variables`, and the variables of an optimizer if `compiled` is True.
        self.variables = []
        self.compiled = False
        if not decay:
            return
        self._copies = [keras.models.clone_model(model) for model in models]
        for model, copy in zip(models, self._copies, strict=True):
            copy.set_weights(model.get_weights())
        self._n_updates = tf.Variable(0, dtype="int64", trainable=False)
        self.variables = [self._n_updates, *sum((copy.variables for copy in self._copies), [])]
        self._update = tf.function(self._update_copies, autograph=False).get_concrete_function()

    def of(self, model):
        """The averaged copy of one of the models."""
        return self._copies[self._models.index(model)]

    def update(self):
        """Update the averages. To be called after each training step."""
        if self._decay:
            self._update()

    def _update_copies(self):
        step = tf.cast(self._n_updates.assign_add(1), "float32")
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for model, copy in zip(self._models, self._copies, strict=True):
            for variable, average in zip(model.variables, copy.variables, strict=True):
                if variable.dtype == "float32":
                    average.value.assign_sub((1 - decay) * (average.value - variable.value))
                else:
                    average.value.assign(variable.value)
