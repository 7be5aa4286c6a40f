"""The same training steps in less time.

`quicken` changes how models are called, and how Adam and some convolutions are computed. It does
not change the results except by rounding, so all scripts work without it as well, only slower.
"""

import ctypes

from common.backend import keras
from common.backend import tensorflow as tf

BLOCK = 4  # height and width of a block: its 4 × 4 pixels fill the 16 SIMD lanes of AVX-512
SMALL_MAP = 8 * 8  # pixels of a feature map
LARGE_KERNEL = 2**20  # weights; at 4 bytes each they do not fit in a core's cache
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt in glibc's malloc.h


def quicken(*models):
    """Make the calls of built models with a batch faster.

    - `train_on_batch`, `test_on_batch` and `predict_on_batch` have less overhead, until the model
      is compiled again.
    - Adam updates each weight in one operation.
    - If the models were created in the scope of a `tf.distribute.Strategy`, these calls are shared
      out among its devices. The arguments and results remain those of the whole batch.
    - Without a GPU, a transposed convolution to one channel, such as the last layer of some
      generators, computes 16 pixels at once, and a convolution on a small feature map with many
      channels is computed as a matrix product.
    - On Linux, the memory of a step is kept for the next.
    """
    _keep_freed_memory()
    on_cpu = not tf.config.list_physical_devices("GPU")
    for model in models:
        steps = _TracedSteps(model)
        model.predict_function = steps.function_of(model.predict_step)
        if model.compiled:
            model.reset_metrics = steps.reset_metrics
            model.train_function = steps.train_function
            model.test_function = steps.function_of(model.test_step)
            if not model.optimizer.built:  # else the first step would build it, and be traced twice
                model.optimizer.build(model.trainable_variables)
            # A LossScaleOptimizer contains the optimizer that updates the weights.
            optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
            if isinstance(optimizer, keras.optimizers.Adam) and not optimizer.amsgrad:
                optimizer.update_step = _fused_update_step(optimizer)
        for layer in model.layers:
            # The composite model has the same layers as the generator, so a layer may come twice.
            already = "call" in vars(layer)
            if on_cpu and not already:
                if _can_compute_in_blocks(layer):
                    layer.call = _call_in_blocks(layer)
                elif _can_compute_as_product(layer):
                    layer.call = _call_as_product(layer)


def _keep_freed_memory():
    """Have glibc's `free` keep memory for the next `malloc`, up to 2 GiB, as mallopt(3) describes.

    By default it returns each buffer of more than 32 MiB to Linux, which has to clear every page of
    it when the next step asks for one. Nothing happens where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class _TracedSteps:
    """The steps of a model (train, test, predict) as graphs that are called with little overhead.

    Before each step Keras resets its metrics, one variable after the other; here the reset is part
    of the graph. On each call a `tf.function` inspects its arguments, which can be of any type;
    here they are arrays, and a graph is chosen by their shapes and types alone.
    """

    def __init__(self, model):
        self._model = model
        self._strategy = model.distribute_strategy
        self._reset_is_due = False
        self.train_function = self.function_of(model.train_step)

    def reset_metrics(self):
        """Replaces Keras's method: has the next step reset the metrics."""
        if self._model.train_function is self.train_function:
            self._reset_is_due = True
        else:  # the model was compiled again, and has Keras's own functions
            type(self._model).reset_metrics(self._model)

    def function_of(self, step):
        """The function that runs `step`, a method of the model, on the next batch of an iterator.

        Keras calls it in the place of its own `train_function`, `test_function` and so on.
        """
        graphs = {}

        def run_step(batches):
            batch = next(iter(batches))
            batch = batch if isinstance(batch, tuple | list) else [batch]
            batch = [part for part in batch if part is not None]
            tensors = [tf.constant(array) for array in keras.tree.flatten(batch)]
            signature = (self._reset_is_due, *[(tensor.shape, tensor.dtype) for tensor in tensors])
            if signature not in graphs:
                metrics = ()
                if self._reset_is_due:
                    # With one device, Keras creates the metrics when it first traces a step.
                    self._trace(self._model.test_step, batch, tensors)
                    metrics = self._model.metrics
                graphs[signature] = self._trace(step, batch, tensors, metrics)
            self._reset_is_due = False
            return graphs[signature](*tensors)

        return run_step

    def _trace(self, step, batch, tensors, metrics=()):
        def graph(*tensors):
            for metric in metrics:
                metric.reset_state()
            return step(tuple(keras.tree.pack_sequence_as(batch, tensors)))

        if self._strategy.num_replicas_in_sync > 1:
            graph = _shared_out(graph, self._strategy, is_mean=step != self._model.predict_step)
        jit = self._model.jit_compile
        function = tf.function(graph, autograph=False, jit_compile=jit)
        return function.get_concrete_function(*tensors)


def _shared_out(graph, strategy, is_mean):
    """A function that computes `graph` on all devices of a strategy, each on a share of the batch.

    The results of the devices are averaged if `is_mean`, and otherwise put together to a batch. A
    batch that cannot be divided evenly is given to every device as a whole: that is of no use, but
    the result is the same.
    """
    n_devices = strategy.num_replicas_in_sync

    def shared_out(*tensors):
        size = tensors[0].shape[0]
        share = size // n_devices if size % n_devices == 0 else size

        def on_one_device():
            context = tf.distribute.get_replica_context()
            number = int(tf.get_static_value(context.replica_id_in_sync_group))
            start = number * share % size
            results = graph(*[tensor[start : start + share] for tensor in tensors])
            structure.append(results)
            # Means are exchanged together, which is faster than one after the other.
            return tf.stack(keras.tree.flatten(results)) if is_mean else results

        structure = []
        with strategy.scope():
            results = strategy.run(on_one_device)
            if is_mean:
                means = tf.unstack(strategy.reduce("MEAN", results, axis=None))
                return keras.tree.pack_sequence_as(structure[0], means)
            return keras.tree.map_structure(
                lambda parts: strategy.gather(parts, axis=0)[:size], results
            )

    return shared_out


def _fused_update_step(adam):
    """An `update_step` that reads and writes weights and moments once, not a dozen times."""
    keras_update_step = adam.update_step

    def update_step(gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices):
            # The gradient of an embedding has one part for each label in the batch. Keras squares
            # each part by itself, so a row to which four labels have contributed equally moves
            # twice as far as by Adam's formula. For the same result, Keras updates embeddings.
            return keras_update_step(gradient, variable, learning_rate)
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


def _can_compute_in_blocks(layer):
    return (
        isinstance(layer, keras.layers.Conv2DTranspose)
        and (layer.filters, layer.strides, layer.padding) == (1, (1, 1), "same")
        and all(side % 2 == 1 for side in layer.kernel_size)
        and layer.use_bias
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _call_in_blocks(layer):
    """A `call` for a transposed convolution to one channel that computes 4 × 4 pixels at once.

    On a CPU, oneDNN computes each output channel in one SIMD lane, so a single channel leaves 15 of
    the 16 lanes of AVX-512 idle. Here a convolution with stride 4 computes 16 channels, one for
    each pixel of a block of 4 × 4, and `depth_to_space` arranges them as an image. Its 16 kernels
    are that of the layer, shifted to the position of the pixel and padded with zeros. For a kernel
    of 7 × 7 they are 10 × 10: that is twice as many multiplications, in a sixth of the time. The
    gradients are computed as usual, since they are fast already.
    """
    keras_call = layer.call
    padding = ((0, 0), *[(side // 2, side // 2) for side in layer.kernel_size], (0, 0))

    @tf.custom_gradient
    def convolve(inputs, kernel):
        # With stride 1, a transposed convolution is a convolution with the kernel rotated by 180
        # degrees.
        rotated = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        shifts = [(shift, BLOCK - 1 - shift) for shift in range(BLOCK)]
        kernels = [tf.pad(rotated, (y, x, (0, 0), (0, 0))) for y in shifts for x in shifts]
        blocks = tf.nn.conv2d(inputs, tf.concat(kernels, axis=3), BLOCK, padding)

        def gradients(upstream):
            # Inputs and outputs change places, since the layer is a transposed convolution.
            kernel_gradient = tf.raw_ops.Conv2DBackpropFilter(
                input=upstream,
                filter_sizes=tf.shape(kernel),
                out_backprop=inputs,
                strides=(1, 1, 1, 1),
                padding="SAME",
            )
            return tf.nn.conv2d(upstream, kernel, 1, "SAME"), kernel_gradient

        return tf.nn.depth_to_space(blocks, BLOCK), gradients

    def call(inputs):
        if any(side % BLOCK for side in inputs.shape[1:3]):
            return keras_call(inputs)
        convolved = convolve(inputs, tf.convert_to_tensor(layer.kernel))
        return layer.activation(convolved + tf.convert_to_tensor(layer.bias))

    return call


def _can_compute_as_product(layer):
    return (
        type(layer) is keras.layers.Conv2D
        and (layer.strides, layer.dilation_rate, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding == "same"
        and all(side % 2 == 1 for side in layer.kernel_size)
        and layer.kernel.shape.num_elements() >= LARGE_KERNEL
    )


def _call_as_product(layer):
    """A `call` for a convolution that on a small feature map is computed as a matrix product.

    For its convolutions oneDNN first copies the kernel into another order, forwards and backwards.
    Where the kernel is much larger than the feature map, that takes longer than the convolution. A
    matrix product of the patches (im2col) and the kernel uses the kernel as it is, and another one
    computes the kernel's gradient. The gradient of the inputs stays a convolution: as a product it
    would be that of the patches, which overlap and have to be added up.
    """
    keras_call = layer.call
    kernel_height, kernel_width = layer.kernel_size
    padding = ((0, 0), *[(side // 2, side // 2) for side in layer.kernel_size], (0, 0))

    def patches(inputs):
        """The inputs of each output pixel as a row: (n * pixels, number of weights per filter)."""
        height, width, channels = inputs.shape[1:]
        padded = tf.pad(inputs, padding)
        shifts = [(y, x) for y in range(kernel_height) for x in range(kernel_width)]
        shifted = [padded[:, y : y + height, x : x + width] for y, x in shifts]
        return tf.reshape(tf.concat(shifted, axis=3), (-1, len(shifts) * channels))

    @tf.custom_gradient
    def convolve(inputs, kernel):
        rows = patches(inputs)
        outputs = tf.matmul(rows, tf.reshape(kernel, (-1, layer.filters)))

        def gradients(upstream):
            upstream_rows = tf.reshape(upstream, (-1, layer.filters))
            kernel_gradient = tf.matmul(rows, upstream_rows, transpose_a=True)
            input_gradient = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 1)
            return input_gradient, tf.reshape(kernel_gradient, kernel.shape)

        return tf.reshape(outputs, (-1, *inputs.shape[1:3], layer.filters)), gradients

    def call(inputs):
        height, width = inputs.shape[1:3]
        if height * width > SMALL_MAP:
            return keras_call(inputs)
        outputs = convolve(inputs, tf.convert_to_tensor(layer.kernel))
        if layer.use_bias:
            outputs += tf.convert_to_tensor(layer.bias)
        return layer.activation(outputs)

    return call
