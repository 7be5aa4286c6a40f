"""Freezing the discriminator inside the composite model, in a way that holds on Keras 3.

The usual recipe, written for Keras 2, compiles the discriminator, sets
`discriminator.trainable = False`, and then builds and compiles the composite model. In Keras 2
`compile` remembered which weights were trainable, so `discriminator.train_on_batch` still trained
the discriminator. Keras 3 reads `trainable` later, when the training function is first traced. By
then it is False for both models, and the discriminator is never trained: its weights keep their
initial values, and the only sign of it is one UserWarning.

You could set `trainable` again before every call, but it is easily forgotten. It is simpler to
leave `trainable` alone, and to keep the discriminator's weights out of the composite model in the
first place. That is what `Frozen` does.
"""

from common.backend import keras


class Frozen(keras.layers.Layer):
    """A layer that calls a model: gradients pass through, but nothing in the model changes.

    The weights of the model do not become weights of this layer, so a composite model that
    contains `Frozen(discriminator)` trains the generator only, whichever model is compiled or
    called first. A call does not change the other state of the model either: the seeds of dropout
    layers, and the moving averages of batch normalisation. So dropout in the composite uses the
    same mask as the next call of the model itself.

    A composite model with this layer can be trained, but not saved and loaded as a whole.

    Args:
        model: a built `keras.Model`. The layer has the same inputs and outputs.
        training: True or False to call `model` always in that mode; None to call it in the mode of
            the composite model.
    """

    def __init__(self, model, training=None, **options):
        super().__init__(autocast=False, **options)
        self._training_mode = training
        # Keras makes every model that is an attribute part of the layer. It cannot look inside a
        # function.
        self._get_model = lambda: model

    def call(self, inputs, training=None):
        model = self._get_model()
        training = training if self._training_mode is None else self._training_mode
        outputs, _unused_new_state = model.stateless_call(
            model.trainable_variables, model.non_trainable_variables, inputs, training=training
        )
        return outputs
