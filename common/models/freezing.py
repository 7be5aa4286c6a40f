"""Freezing the discriminator inside the composite model, in a way that holds on Keras 3.

The recipe of 2019 compiles the discriminator, sets `discriminator.trainable = False`, and builds
and compiles the composite. In Keras 2 `compile` remembered which weights were trainable, so the
discriminator went on learning by itself. Keras 3 reads `trainable` later, when the training
function is first traced: by then it is False for both models, and the discriminator never learns
again. Its weights stay what they were at the start, and all that Keras says is one UserWarning.

One could set `trainable` anew before every call, and never forget it. Simpler is to leave it alone
and to keep the discriminator's weights out of the composite in the first place. That is what
`Frozen` does.
"""

from common.backend import keras


class Frozen(keras.layers.Layer):
    """Calls a model without owning it: gradients pass through, nothing in the model changes.

    The weights of the model do not become weights of this layer, so a composite model that
    contains `Frozen(discriminator)` trains the generator only, whatever is compiled or called
    first. The other state of the model is read and left as it was, too: the seeds of its dropout
    and the moving averages of a batch normalisation, should it have one. So within a composite
    dropout uses the mask that the model's own next call will use.

    A composite with this layer is for training; it cannot be saved and loaded as a whole.

    Args:
        model: a built `keras.Model`; inputs and outputs of the layer are those of the model.
        training: True or False to call the model in that mode always, None for the mode of the
            model that contains the layer.
    """

    def __init__(self, model, training=None, **options):
        super().__init__(autocast=False, **options)
        self._mode = training
        # Keras adopts every model that is an attribute, but does not look inside a function.
        self._get_model = lambda: model

    def call(self, inputs, training=None):
        model = self._get_model()
        training = training if self._mode is None else self._mode
        outputs, _unused_new_state = model.stateless_call(
            model.trainable_variables, model.non_trainable_variables, inputs, training=training
        )
        return outputs
