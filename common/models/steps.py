"""The same training in less time: how a model is called, how Adam and a convolution are computed.

`quicken` changes nothing that a script says, and nothing that is learnt or saved but by rounding.
Without it everything goes on as before, only slower.
"""

from common.backend import keras
from common.backend import tensorflow as tf

BLOCK = 4  # pixels a side: 4 × 4 are as many as AVX-512 has lanes


def quicken(*models):
    """Make calls of built models with a batch quicker.

    - `train_on_batch`, `test_on_batch` and `predict_on_batch` spend less time on what is not
      computing, until the model is compiled anew.
    - Adam updates a weight in one operation.
    - Where there is no GPU, a convolution to one channel, the last layer of some generators,
      computes 16 pixels at once.
    """
    for model in models:
        calls = _Calls(model)
        model.predict_function = calls.of(model.predict_step)
        if model.compiled:
            model.reset_metrics = calls.reset_metrics
            model.train_function = calls.train_function
            model.test_function = calls.of(model.test_step)
            if not model.optimizer.built:  # or each step is traced twice
                model.optimizer.build(model.trainable_variables)
            optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
            if isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad:
                optimizer.update_step = _in_one_operation(optimizer)
        for layer in model.layers:
            already = "call" in vars(layer)  # as a layer of generator and composite alike
            if _is_slow(layer) and not already and not tf.config.list_physical_devices("GPU"):
                layer.call = _in_blocks(layer)


class _Calls:
    """The steps of a model as graphs, which need nothing settled before each call.

    Keras sets the metrics to zero, number by number, before it takes a step; here that is part of
    the step. `tf.function` takes its arguments apart, which might be anything; here they are
    arrays, and only their shapes can change from call to call.
    """

    def __init__(self, model):
        self._model = model
        self._metrics_to_zero = False
        self.train_function = self.of(model.train_step)

    def reset_metrics(self):
        if self._model.train_function is self.train_function:
            self._metrics_to_zero = True
        else:  # the model was compiled anew
            type(self._model).reset_metrics(self._model)

    def of(self, step):
        """What Keras calls with an iterator, to take a `step` of the model with its next batch."""
        graphs = {}

        def take_step(batches):
            batch = [part for part in next(iter(batches)) if part is not None]
            tensors = [tf.constant(array) for array in keras.tree.flatten(batch)]
            kind = (self._metrics_to_zero, *[(tensor.shape, tensor.dtype) for tensor in tensors])
            if kind not in graphs:
                metrics = ()
                if self._metrics_to_zero:
                    # Keras makes the metrics when it first traces a step.
                    self._trace(self._model.test_step, batch, tensors)
                    metrics = self._model.metrics
                graphs[kind] = self._trace(step, batch, tensors, metrics)
            self._metrics_to_zero = False
            return graphs[kind](*tensors)

        return take_step

    def _trace(self, step, batch, tensors, metrics=()):
        def graph(*tensors):
            for metric in metrics:
                metric.reset_state()
            return step(tuple(keras.tree.pack_sequence_as(batch, tensors)))

        jit = self._model.jit_compile
        function = tf.function(graph, autograph=False, jit_compile=jit)
        return function.get_concrete_function(*tensors)


def _in_one_operation(adam):
    """An `update_step` that reads and writes weights and moments once, not in a dozen steps."""
    usual_step = adam.update_step

    def update_step(gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices):
            # An embedding's. Keras squares what each label asks for by itself: a row that four
            # labels pull the same way moves twice as far as by Adam's formula. That stays so.
            return usual_step(gradient, variable, learning_rate)
        index = adam._get_variable_index(variable)
        step = tf.cast(adam.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=adam._momentums[index].value.handle,
            v=adam._velocities[index].value.handle,
            beta1_power=adam.beta_1**step,
            beta2_power=adam.beta_2**step,
            lr=learning_rate,
            beta1=adam.beta_1,
            beta2=adam.beta_2,
            epsilon=adam.epsilon,
            grad=gradient,
        )

    return update_step


def _is_slow(layer):
    return (
        isinstance(layer, keras.layers.Conv2DTranspose)
        and (layer.filters, layer.strides, layer.padding) == (1, (1, 1), "same")
        and all(side % 2 == 1 for side in layer.kernel_size)
        and layer.use_bias
        and layer.compute_dtype == "float32"
    )


def _in_blocks(layer):
    """A `call` for a layer, which computes the pixels of a block as if they were channels.

    oneDNN has a lane of the processor for each channel, so one channel leaves 15 of 16 idle. The
    pixels of a block all come from the same window of the input, each by the kernel in another
    place of it: by 16 kernels as large as the window, mostly zeros. For 7 × 7 that takes twice as
    many multiplications in a sixth of the time. The gradients are quick as they are.
    """
    usual_call = layer.call
    border = ((0, 0), *[(side // 2, side // 2) for side in layer.kernel_size], (0, 0))

    @tf.custom_gradient
    def convolve(inputs, kernel):
        upright = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        places = [(place, BLOCK - 1 - place) for place in range(BLOCK)]
        kernels = [tf.pad(upright, (y, x, (0, 0), (0, 0))) for y in places for x in places]
        blocks = tf.nn.conv2d(inputs, tf.concat(kernels, axis=3), BLOCK, border)

        def gradients(upstream):
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=upstream,
                filter_sizes=tf.shape(kernel),
                out_backprop=inputs,
                strides=(1, 1, 1, 1),
                padding="SAME",
            )
            return tf.nn.conv2d(upstream, kernel, 1, "SAME"), of_kernel

        return tf.nn.depth_to_space(blocks, BLOCK), gradients

    def call(inputs):
        if any(side % BLOCK for side in inputs.shape[1:3]):
            return usual_call(inputs)
        convolved = convolve(inputs, tf.convert_to_tensor(layer.kernel))
        return layer.activation(convolved + tf.convert_to_tensor(layer.bias))

    return call
