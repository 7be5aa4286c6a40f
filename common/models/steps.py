"""The same training steps in less time. `quicken` says what it replaces for that."""

import math

from common import UserError
from common.backend import keras
from common.backend import tensorflow as tf
from common.models import internals

from keras import layers, ops

BLOCK = 4  # height and width of a block: its 4 × 4 pixels fill the 16 SIMD lanes of AVX-512
SMALL_MAP = 8 * 8  # pixels of a feature map
LARGE_KERNEL = 2**20  # weights; at 4 bytes each they do not fit in a core's cache
STEPS = ("train_step", "test_step", "predict_step")
METHODS = (*STEPS, "reset_metrics", *(f"make_{name}" for name in internals.FUNCTIONS))


def quicken(*models):
    """Make built models train and predict in less time, with the same results but for rounding.

    It replaces, in these models only:

    - the functions that Keras builds for a step, until the model is compiled again: by ones with
      less overhead. If the models were created in the scope of a `tf.distribute.Strategy`, these
      share each batch out among the devices; arguments and results are those of the whole batch;
    - `apply` of the optimizer, which now waits until all gradients of the step are computed, so
      that a run can be repeated;
    - `update_step` of `keras.optimizers.Adam`, which now updates each weight in one operation;
    - on a CPU, `call` of a `Conv2DTranspose` to one channel, and of a `Conv2D` with a large kernel
      on a small feature map. In bfloat16, also that of `Dense` and all other `Conv2D` and
      `Conv2DTranspose`, whose biases then get the right gradient.

    Subclasses of these, and layers with options that would make a difference, stay as they are. So
    does a model whose class has its own `train_step` or the like, or which runs eagerly or several
    steps at once; on several devices, UserError is raised for it.
    """
    on_cpu = not tf.config.list_physical_devices("GPU")
    for model in models:
        if _has_usual_steps(model):
            steps = _TracedSteps(model)
            model.train_function, model.test_function, model.predict_function = steps.functions
            model.reset_metrics = steps.reset_metrics
        elif model.distribute_strategy.num_replicas_in_sync > 1:
            raise UserError(f"{model.name} has steps of its own: it can train on one device only")
        if model.compiled and "apply" not in vars(model.optimizer):
            _quicken_optimizer(model)
        for layer in all_layers(model) if on_cpu else []:
            # The composite model has the same layers as the generator, so a layer may come twice.
            if "call" not in vars(layer):
                _quicken_layer(layer)


def all_layers(model):
    """Yield the layers of a model, and those of the models and wrappers among them."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        elif isinstance(layer, layers.Wrapper):
            yield layer.layer


def _has_usual_steps(model):
    """Whether Keras would run the steps of a model one at a time, as graphs, by its own methods."""
    own = any(getattr(type(model), name) is not getattr(keras.Model, name) for name in METHODS)
    one_at_a_time = model.steps_per_execution == 1 and not model.run_eagerly
    return internals.HAS_FUNCTIONS and one_at_a_time and not own


class _TracedSteps:
    """The steps of a model (train, test, predict) as graphs that are called with little overhead.

    Before each step Keras resets its metrics, one variable after the other; here the reset is part
    of the graph. On each call a `tf.function` inspects its arguments, which can be of any type;
    here they are arrays, and there is a graph for each form of batch.
    """

    def __init__(self, model):
        self._model, self._reset_is_due = model, False
        self.functions = [self._function_of(getattr(model, name)) for name in STEPS]

    def reset_metrics(self):
        """Replaces Keras's method: has the next step reset the metrics."""
        if self._model.train_function is self.functions[0]:
            self._reset_is_due = True
        else:  # the model was compiled again, and has Keras's own functions
            type(self._model).reset_metrics(self._model)

    def _function_of(self, step):
        """What Keras is to call for a step, with an iterator of batches."""
        graphs = {}

        def run_step(batches):
            batch = next(iter(batches))
            arrays = [part for part in keras.tree.flatten(batch) if part is not None]
            tensors = [tf.constant(array) for array in arrays]
            form = [tuple(part) if isinstance(part, dict) else type(part) for part in batch]
            form += [(tensor.shape, tensor.dtype) for tensor in tensors]
            form = self._reset_is_due, *form
            if form not in graphs:
                if self._reset_is_due:
                    # With one device, Keras creates the metrics when it first traces a step.
                    self._trace(self._model.test_step, batch, tensors)
                graphs[form] = self._trace(step, batch, tensors, self._reset_is_due)
            self._reset_is_due = False
            return graphs[form](*tensors)

        return run_step

    def _trace(self, step, batch, tensors, resets=False):
        model, strategy = self._model, self._model.distribute_strategy
        if strategy.num_replicas_in_sync > 1:
            step = _shared_out(step, strategy, is_mean=step != model.predict_step)

        def step_of_tensors(*tensors):
            if resets:
                type(model).reset_metrics(model)
            rest = iter(tensors)
            return step(_of_arrays(lambda _array: next(rest), batch))

        function = tf.function(step_of_tensors, autograph=False, jit_compile=model.jit_compile)
        return function.get_concrete_function(*tensors)


def _of_arrays(function, batch):
    """Apply a function to each array of a batch, in which None stands for what was not given."""
    return keras.tree.map_structure(lambda part: None if part is None else function(part), batch)


def _shared_out(step, strategy, is_mean):
    """A function that takes a step on all devices of a strategy, each on a share of the batch.

    The results are averaged if `is_mean`, and otherwise put together to a batch. A batch that
    cannot be divided evenly is given to every device as a whole, which has the same result.
    """
    n_devices = strategy.num_replicas_in_sync

    def shared_out(batch):
        size = keras.tree.flatten(batch)[0].shape[0]
        share = size // n_devices if size % n_devices == 0 else size

        def on_one_device():
            context = tf.distribute.get_replica_context()
            number = int(tf.get_static_value(context.replica_id_in_sync_group))
            start = number * share % size
            results = step(_of_arrays(lambda array: array[start : start + share], batch))
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


def _quicken_optimizer(model):
    optimizer = model.optimizer
    if not optimizer.built:  # else the first step would build it, and be traced twice
        optimizer.build(model.trainable_variables)
    apply = optimizer.apply

    def apply_when_all_are_there(grads, trainable_variables=None):
        # TensorFlow updates a weight as soon as its gradient is computed. Other operations that
        # read the weight may run after that, and then they read the new value: where a step calls
        # a model several times, about one step in fifty had another result (TensorFlow 2.21).
        grads = list(grads)
        with tf.control_dependencies([gradient for gradient in grads if gradient is not None]):
            grads = _of_arrays(tf.identity, grads)
        return apply(grads, trainable_variables)

    optimizer.apply = apply_when_all_are_there
    # A LossScaleOptimizer contains the optimizer that updates the weights.
    adam = getattr(optimizer, "inner_optimizer", optimizer)
    on_one_device = model.distribute_strategy.num_replicas_in_sync == 1
    if type(adam) is keras.optimizers.Adam and not adam.amsgrad and on_one_device:
        _fuse(adam, [variable.value for variable in model.trainable_variables])


def _fuse(adam, weights):
    """Have an Adam optimizer read and write weights and moments once, not a dozen times."""
    keras_update_step = adam.update_step
    kinds = ("_momentum", "_velocity")
    arrays = [weights, *([v.value for v in adam.variables if v.name.endswith(k)] for k in kinds)]
    shapes = [[array.shape for array in some] for some in arrays]
    if not shapes[0] == shapes[1] == shapes[2]:  # in a Keras with other names
        return
    moments = {id(weight): both for weight, *both in zip(*arrays, strict=True)}

    def update_step(gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices):
            # The gradient of an embedding has a part for each label in the batch, and Keras squares
            # each part by itself: other than Adam's formula, and here to be the same.
            return keras_update_step(gradient, variable, learning_rate)
        momentum, velocity = moments[id(variable)]
        step = tf.cast(adam.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=adam.beta_1**step,
            beta2_power=adam.beta_2**step,
            lr=learning_rate,
            beta1=adam.beta_1,
            beta2=adam.beta_2,
            epsilon=adam.epsilon,
            grad=gradient,
        )

    adam.update_step = update_step


def _quicken_layer(layer):
    """Give a layer of Keras another `call`, if there is a faster one, or a better one in bfloat16.

    On a CPU, Keras has TensorFlow add a bias by an operation whose gradient is summed in bfloat16.
    Once the sum is 256 times as large as the next number, adding that number changes nothing: on
    two cores, 50,000 ones make 512. The gradient of a plain addition is the same sum in float32.
    """
    kind, linear, fast = type(layer), _linear_part(layer), None
    if linear is None:
        return
    is_large = math.prod(layer.kernel.shape) >= LARGE_KERNEL
    if kind is layers.Conv2DTranspose and _keeps_the_size(layer) and layer.filters == 1:
        fast, fits = _in_blocks(layer), lambda height, width: height % BLOCK == width % BLOCK == 0
    elif kind is layers.Conv2D and _keeps_the_size(layer) and is_large and layer.groups == 1:
        fast, fits = _as_product(layer), lambda height, width: height * width <= SMALL_MAP
    elif layer.compute_dtype != "bfloat16" or not layer.use_bias:
        return

    def call(inputs, training=None):
        size = inputs.shape[1:3]
        if fast and None not in size and fits(*size):
            outputs = fast(inputs, tf.convert_to_tensor(layer.kernel))
        else:
            outputs = linear(inputs)
        if layer.use_bias:
            outputs += tf.convert_to_tensor(layer.bias)
        return outputs if layer.activation is None else layer.activation(outputs)

    layer.call = call


def _linear_part(layer):
    """What a layer computes before it adds its bias, as a function; None for unknown layers."""
    if type(layer) is layers.Dense:
        return lambda inputs: ops.matmul(inputs, layer.kernel)
    if getattr(layer, "data_format", None) != "channels_last":
        return None
    if type(layer) is layers.Conv2D:
        return lambda inputs: layer.convolution_op(inputs, layer.kernel)
    if type(layer) is layers.Conv2DTranspose:
        names = ("strides", "padding", "output_padding", "data_format", "dilation_rate")
        options = {name: getattr(layer, name) for name in names}
        return lambda inputs: ops.conv_transpose(inputs, layer.kernel, **options)
    return None


def _keeps_the_size(layer):
    """Whether a convolution has an odd kernel, and as many pixels in its output as in its input."""
    steps = (layer.strides, layer.dilation_rate, layer.padding)
    odd = all(side % 2 == 1 for side in layer.kernel_size)
    return odd and steps == ((1, 1), (1, 1), "same")


def _in_blocks(layer):
    """The linear part of a transposed convolution to one channel, 4 × 4 pixels at once.

    On a CPU, oneDNN computes each output channel in one SIMD lane, so a single channel leaves 15 of
    the 16 lanes of AVX-512 idle. Here a convolution with stride 4 computes 16 channels, one for
    each pixel of a block of 4 × 4, and `depth_to_space` arranges them as an image. Its 16 kernels
    are that of the layer, shifted to the position of the pixel and padded with zeros. The gradients
    are computed as usual, since they are fast already.
    """
    padding = ((0, 0), *[(side // 2, side // 2) for side in layer.kernel_size], (0, 0))

    @tf.custom_gradient
    def convolve(inputs, kernel):
        # With stride 1, a transposed convolution is one with the kernel rotated by 180 degrees.
        rotated = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        shifts = [(shift, BLOCK - 1 - shift) for shift in range(BLOCK)]
        kernels = [tf.pad(rotated, (y, x, (0, 0), (0, 0))) for y in shifts for x in shifts]
        blocks = tf.nn.conv2d(inputs, tf.concat(kernels, axis=3), BLOCK, padding)

        def gradients(upstream):
            # Inputs and outputs change places, since the layer is a transposed convolution.
            sizes, ones = tf.shape(kernel), (1, 1, 1, 1)
            kernel_gradient = tf.compat.v1.nn.conv2d_backprop_filter(
                upstream, sizes, inputs, ones, "SAME"
            )
            return tf.nn.conv2d(upstream, kernel, 1, "SAME"), kernel_gradient

        return tf.nn.depth_to_space(blocks, BLOCK), gradients

    return convolve


def _as_product(layer):
    """The linear part of a convolution, on a small feature map as a product of matrices (im2col).

    For its convolutions oneDNN first copies the kernel into another order, forwards and backwards.
    Where the kernel is much larger than the feature map, that takes longer than the convolution.
    The gradient of the inputs stays a convolution: as a product it would be that of the patches,
    which overlap and have to be added up.
    """
    sizes, ones = (1, *layer.kernel_size, 1), (1, 1, 1, 1)

    @tf.custom_gradient
    def convolve(inputs, kernel):
        flat_kernel = tf.reshape(kernel, (-1, layer.filters))
        patches = tf.image.extract_patches(inputs, sizes, ones, ones, "SAME")
        rows = tf.reshape(patches, (-1, flat_kernel.shape[0]))

        def gradients(upstream):
            upstream_rows = tf.reshape(upstream, (-1, layer.filters))
            kernel_gradient = tf.matmul(rows, upstream_rows, transpose_a=True)
            input_gradient = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 1)
            return input_gradient, tf.reshape(kernel_gradient, kernel.shape)

        outputs = tf.matmul(rows, flat_kernel)
        return tf.reshape(outputs, (-1, *inputs.shape[1:3], layer.filters)), gradients

    return convolve
