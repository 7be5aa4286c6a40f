"""A moving average of the generator's weights over the training steps.

The two networks of a GAN pull each other to and fro, and the generator's weights circle around a
good place more than they approach it. The average over the last thousand steps or so lies nearer to
it: its images are cleaner and more varied (Yazıcı et al. 2019, arXiv 1806.04498). Nothing in the
training reads the average, so the training is the same with it and without.
"""

from common.backend import keras
from common.backend import tensorflow as tf


class MovingAverage:
    """Averaged copies of models, one for each, of which all variables are averages.

    After step t an average moves by 1 - d towards the value of its variable, where
    d = min(decay, (1 + t) / (10 + t)). So it forgets the first steps quickly, and in the long run
    looks back over some 1 / (1 - decay) steps. The moving statistics of a batch normalisation are
    averaged as the weights are; whole numbers, such as the seed of a dropout, are copied.

    Args:
        models: built models.
        decay: from 0 to less than 1. With 0 there are no copies: the average is the model itself.
    """

    def __init__(self, *models, decay):
        self._decay, self._models, self._copies = decay, models, models
        self.variables = []  # of the copies, and the number of updates: for a checkpoint
        self.compiled = False
        if not decay:
            return
        self._copies = [keras.models.clone_model(model) for model in models]
        for model, copy in zip(models, self._copies, strict=True):
            copy.set_weights(model.get_weights())
        self._n_updates = tf.Variable(0, dtype="int64", trainable=False)
        self.variables = [self._n_updates, *sum((copy.variables for copy in self._copies), [])]
        self._update = tf.function(self._move, autograph=False).get_concrete_function()

    def of(self, model):
        """The averaged copy of one of the models."""
        return next(
            copy for one, copy in zip(self._models, self._copies, strict=True) if one is model
        )

    def update(self):
        """Take the weights after a training step into the average."""
        if self._decay:
            self._update()

    def _move(self):
        step = tf.cast(self._n_updates.assign_add(1), "float32")
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for model, copy in zip(self._models, self._copies, strict=True):
            for variable, average in zip(model.variables, copy.variables, strict=True):
                if variable.dtype == "float32":
                    average.value.assign_sub((1 - decay) * (average.value - variable.value))
                else:
                    average.value.assign(variable.value)
