"""The devices that a run trains on: one, several GPUs of a machine, or those of several machines.

On several devices, TensorFlow keeps a copy of all weights on each, which computes the gradients of
its share of a batch. They are added up over all devices, so that all copies are updated alike. This
is `tf.distribute` (https://www.tensorflow.org/guide/distributed_training): a `MirroredStrategy` on
one machine; a `MultiWorkerMirroredStrategy` on several, with a process on each of them.
"""

import contextlib
import functools
import inspect
import json
import os
import re
import signal
import sys

from common import UserError
from common.backend import keras
from common.backend import tensorflow as tf
from common.models import internals
from common.models.steps import all_layers

import numpy as np

SILENCE = 40  # seconds after which a process is given up that no longer answers
# What TensorFlow raises when it has lost another machine.
_LOST = ("Aborted", "Cancelled", "DeadlineExceeded", "FailedPrecondition", "Unavailable")
LOST = tuple(getattr(tf.errors, f"{name}Error") for name in _LOST)


class Devices:
    """The devices of a run. With one device, nothing here has an effect.

    On several machines, each runs the same program with the same arguments. One of them is the
    first: it alone prints and writes files (`is_first`). `addresses` are those of all machines, and
    empty if there is only this one. `count` is the number of devices on all of them.

    `gpus` is how many GPUs of this machine to use, "all", or None for one device. Raises UserError
    if there are fewer, or if TF_CONFIG is not valid.
    """

    def __init__(self, gpus=None):
        self._tasks, self._this_task = read_tf_config(os.environ.get("TF_CONFIG", ""))
        self.addresses = list(self._tasks.values())
        self.is_first = self._this_task == next(iter(self._tasks), None)
        names, self._strategy = _use_gpus(gpus), None
        if self._tasks:
            self._strategy = _multi_worker_strategy(len(self._tasks))
        elif len(names) > 1:
            self._strategy = _mirrored_strategy(tuple(names))
        self.count = self._strategy.num_replicas_in_sync if self._strategy else 1
        self._scope = contextlib.ExitStack()

    def check(self, arguments):
        """Raise UserError if half a batch cannot be divided among the devices, or for --jit."""
        n_batch, unit = arguments.batch_size, 2 * self.count
        if rest := n_batch % unit:
            nearest = " and ".join(str(n) for n in (n_batch - rest, n_batch - rest + unit) if n)
            raise UserError(
                f"--batch-size {n_batch}: half a batch cannot be shared out evenly among "
                f"{self.count} devices; {nearest} can"
            )
        if arguments.jit and self.count > 1:
            raise UserError(f"--jit is for one device, and here are {self.count}: leave it out")

    def enter(self):
        """Begin to give new variables, such as weights, a copy on each device, until `leave`."""
        if self._strategy:
            self._scope.enter_context(self._strategy.scope())

    def leave(self):
        """The opposite of `enter`. May be called twice."""
        self._scope.close()

    @contextlib.contextmanager
    def one_device(self):
        """A `with` block, between `enter` and `leave` or not, in which variables have no copies."""
        inside = tf.distribute.has_strategy()
        self.leave()
        yield
        if inside:
            self.enter()

    def prepare(self, models):
        """Have models train on several devices as they do on one.

        Keras's own batch normalisation uses the statistics of the whole batch then, not of a
        device's share. Raises UserError for a loss function that returns one number for a batch:
        Keras takes it for the loss of the whole batch, while it is that of a share.
        """
        for model in models if self._strategy else []:
            for layer in all_layers(model):
                if type(layer) is keras.layers.BatchNormalization:
                    layer.synchronized = True
            losses = keras.tree.flatten(getattr(model, "loss", None))
            for loss, output in zip(losses, keras.tree.flatten(model.output), strict=False):
                if inspect.isfunction(loss) and _is_one_number(loss, output):
                    raise UserError(
                        f"the loss function {loss.__name__} returns one number for a batch: on "
                        "several devices it has to return one for each image"
                    )

    def from_first(self, function):
        """Call `function` on the first machine only, and return its result, JSON, on all machines.

        If it raises UserError or OSError, UserError is raised on all machines.
        """
        if not self.addresses:
            return function()
        try:
            answer = {"result": function() if self.is_first else None}
        except (UserError, OSError) as problem:
            answer = {"problem": str(problem)}
        text = np.frombuffer(json.dumps(answer).encode(), np.uint8)
        length = int(self.array_from_first(np.array(len(text))))
        text = self.array_from_first(np.resize(text, length).astype("int64"))
        answer = json.loads(text.astype(np.uint8).tobytes())
        if "problem" in answer:
            raise UserError(answer["problem"])
        return answer["result"]

    def array_from_first(self, array):
        """The array of the first of several, which all give one of the same shape and type."""
        with self._strategy.scope():  # TensorFlow copies initial values from the first machine
            return tf.Variable(array).numpy()

    def check_same(self, values):
        """Raise UserError if a dict of strings is not the same as on the first machine."""
        for name, first in self.from_first(lambda: values).items():
            if values[name] != first:
                raise UserError(
                    f"{name} is {values[name]} here and {first} on the first machine, "
                    f"{self.addresses[0]}: all machines need the same command and the same images"
                )

    def any(self, flag):
        """Whether `flag` is true on any machine. All machines have to call it at the same time."""
        if not self.addresses:
            return flag
        number = tf.constant(float(flag))
        numbers = self._strategy.experimental_distribute_values_from_function(lambda _: number)
        return bool(self._strategy.reduce("SUM", numbers, axis=None))

    def lost(self, problem):
        """What has been lost, in words, if an exception is due to that; otherwise None."""
        if not self.addresses or not isinstance(problem, LOST):
            return None
        for job, number in re.findall(r"/job:(\w+)(?:/replica:0)?/task:(\d+)", str(problem)):
            address = self._tasks.get((job, int(number)))
            if address and (job, int(number)) != self._this_task:
                return f"lost contact with the process on {address}"
        return "lost contact with the processes on other machines"


def _is_one_number(loss, output):
    batch = tf.zeros((2, *output.shape[1:]), output.dtype)
    with contextlib.suppress(Exception):  # the target has another shape than the output
        return keras.ops.ndim(loss(batch, batch)) == 0


def _use_gpus(gpus):
    """Restrict TensorFlow to so many GPUs; return their names. See `Devices` for the argument."""
    found = gpu_names()
    count = len(found)
    if gpus is None and count > 1:
        print(f"{count} GPUs are there, and one is used: --gpus all uses them all", file=sys.stderr)
    number = {None: min(1, count), "all": max(1, count)}.get(gpus, gpus)
    if number > count:
        raise UserError(
            f"--gpus {gpus}: TensorFlow finds {count} GPUs on this machine; leave the option out "
            "to train on one device"
        )
    used = tf.config.list_physical_devices("GPU")[:number]
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun, in a notebook for example
        tf.config.set_visible_devices(used, "GPU")
        for gpu in used:  # take memory as it is needed, rather than nearly all of it at the start
            tf.config.experimental.set_memory_growth(gpu, True)
    return found[:number]


def gpu_names():
    """The names of the GPUs of this machine, as `tf.device` takes them."""
    return [f"/gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU")))]


def read_tf_config(text):
    """Read the environment variable TF_CONFIG, which tells a process of the other machines.

    Returns the addresses of all processes, a dict whose keys are a job and a number, such as
    ("worker", 0), and the key of this process. The first entry is the first machine. The dict is
    empty if there are no other machines. Raises UserError if TF_CONFIG is not valid.
    """
    try:
        config, jobs = json.loads(text.strip() or "{}"), ("chief", "worker")
        cluster = config.get("cluster", {})
        tasks = {(job, n): a for job in jobs for n, a in enumerate(cluster.get(job, []))}
        problems = [f"there is a job {job!r}" for job in cluster if job not in jobs]
        if len(tasks) <= 1 and not problems:
            return {}, None
        wrong = [a for a in tasks.values() if not re.fullmatch(r"\S+:\d{1,5}", str(a))]
        problems += [f"{address!r} is not of the form HOST:PORT" for address in wrong]
        this_task = (config["task"]["type"], int(config["task"]["index"]))
        if this_task not in tasks:
            problems.append(f"the task, {this_task}, is not in the cluster")
        if problems:
            raise ValueError(problems[0])
        return tasks, this_task
    except (ValueError, TypeError, LookupError, AttributeError) as problem:
        raise UserError(
            'TF_CONFIG is not of the form {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, '
            f'"task": {{"type": "worker", "index": 0}}}}: {type(problem).__name__}, {problem}'
        ) from None


# TensorFlow numbers its exchanges for each strategy anew, so that a second one in the same process,
# in a notebook for example, would mistake them for those of the first.
_mirrored_strategy = functools.cache(tf.distribute.MirroredStrategy)


@functools.cache
def _multi_worker_strategy(n_machines):
    """Connect this machine with the others. Raises UserError if that fails; Ctrl-C ends it at once.

    Python's own handler of Ctrl-C would run only when TensorFlow has connected all processes. And
    from then on TensorFlow would ignore SIGTERM, which is what `kill` sends.
    """
    waiting = f"Waiting for the processes on all {n_machines} machines: "
    print(waiting + "start the same command on each", file=sys.stderr)
    internals.set_patience(SILENCE)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if handlers[signal.SIGINT] is signal.default_int_handler:  # else Ctrl-C has another meaning
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        raise UserError(f"TensorFlow cannot connect the machines of TF_CONFIG: {reason}") from None
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None is a handler that Python does not know
                signal.signal(number, handler)
