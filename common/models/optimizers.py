"""An Adam optimizer that gives the same result, to the bit, in every run."""

from common.backend import keras, tensorflow


class Adam(keras.optimizers.Adam):
    """Adam that updates no weight before all gradients are computed.

    TensorFlow updates a weight as soon as the gradient of that weight is computed. Other operations
    that read the weight may run after the update, and then they read the new value. When a training
    step called a model several times, about one step in fifty had another result because of this
    (TensorFlow 2.21, two cores).
    """

    def apply(self, grads, trainable_variables=None):
        with tensorflow.control_dependencies(grads):
            grads = [tensorflow.identity(gradient) for gradient in grads]
        return super().apply(grads, trainable_variables)
