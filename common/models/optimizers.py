"""An Adam that gives the same bits every time."""

from common.backend import keras, tensorflow


class Adam(keras.optimizers.Adam):
    """Adam that updates nothing before all gradients are there.

    TensorFlow starts to update a weight as soon as its own gradient is known. What else has read
    the weight may be yet to run, and sometimes sees the new value: where a model is called several
    times in a step, one step in fifty or so came out different (TensorFlow 2.21, two cores).
    """

    def apply(self, grads, trainable_variables=None):
        with tensorflow.control_dependencies(grads):
            grads = [tensorflow.identity(gradient) for gradient in grads]
        return super().apply(grads, trainable_variables)
