"""A training run: its command line, its loop, and how it is stopped and resumed.

The `main` of a script contains

    with Run(parser, argv) as run:
        dataset = run.load(datasets.load_fashion_mnist)
        ...                                   # define and compile all models
        run.begin(pixel_range=(-1, 1), generator=g_model, discriminator=d_model, gan=gan_model)
        train(...)

and its `train` contains

    for _epoch in run.epochs():
        for _step in run.steps(n):
            ...                               # train; take all random numbers from run.rng
            run.log(d_loss=d_loss, g_loss=g_loss)
        run.save_epoch(images)                # of run.average.of(g_model)

RuntimeError is raised if `begin` is called before `load`, or if an epoch ends without `save_epoch`.
"""

import contextlib
import io
import math
import signal
import sys
import time

from common import UserError, plotting
from common.arguments import check_training, error_text
from common.backend import keras, mixed_precision, tensorflow
from common.models.sizes import count_halvings
from common.models.steps import quicken
from common.training import folder, resuming
from common.training.checks import check_generator, same_random_numbers, warn_of_pixel_range
from common.training.devices import Devices
from common.training.progress import is_terminal, progress_bar, say, warn
from common.training.quality import Quality
from common.training.state import State

import numpy as np

LESS_MEMORY = "give a smaller --batch-size, --image-size or --width"
STOPPING = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]


class Diverged(Exception):
    """Losses or weights have become NaN or infinite. Training cannot recover from that."""


class Run:
    """One training run in one folder; a context manager that reports an error in one line.

    After an error in the `with` block, SystemExit is raised. Its status is 2 for a `UserError`; 1
    if the training has diverged, if there was not enough memory, or if a file could not be written;
    130 after Ctrl-C. At the first Ctrl-C the current training step is finished and saved. So it is
    after SIGTERM and SIGHUP, with 143 and 129.

    Attributes:
        arguments: the arguments on the command line; with --resume, those that the run began with,
            but for the few that may change, such as --epochs.
        rng: the numpy Generator for all random numbers in training, seeded with --seed.
        sample_rng: a second numpy Generator, for the latents of the sample pictures.
        average: the `MovingAverage` of the generator (and of an `encoder`): `average.of(g_model)`
            is the model that is saved. None before `begin`. It moves at the end of each step.
        sample_labels: the labels of the sample picture, integers (n,): ten of each class, row by
            row. Of many classes there are twenty, spread over all. None without classes.
    """

    def __init__(self, parser, argv=None):
        self._parser, self._argv = parser, argv
        self._devices = self._state = self._dataset = self.average = self.sample_labels = None
        self._clock = self._last_checkpoint = 0.0
        self._stopped_by = None  # the number of a signal
        self._has_page = False
        self._check_still_there = lambda: None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._start()
        except BaseException as problem:
            self.__exit__(type(problem), problem, None)
            raise
        return self

    def _start(self):
        """Read the command line, and check what can be checked early."""
        arguments, data = self._parser.parse_args(self._argv), {}
        self._devices = Devices(arguments.gpus)
        if arguments.resume:
            out, name = arguments.out, self._parser.name
            record = self._devices.from_first(lambda: folder.read_record(out, name))
            arguments = resuming.arguments_of(record, self._parser, self._argv)
            data = record["data"]
        self.arguments = arguments
        check_training(arguments)
        self._devices.check(arguments)
        self._devices.check_same(resuming.on_all_machines(arguments))
        self._devices.from_first(self._check_folder_is_free)
        keras.utils.set_random_seed(arguments.seed)
        if arguments.deterministic:
            tensorflow.config.experimental.enable_op_determinism()
        self.rng = np.random.default_rng(arguments.seed)
        self.sample_rng = self.rng.spawn(1)[0]
        policy = mixed_precision() if arguments.mixed_precision else "float32"
        self._cleanup.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy(policy)
        self._devices.enter()
        self._cleanup.callback(self._devices.leave)
        self._state = State(self._parser, arguments, data, self._devices, self.rng)

    def _check_folder_is_free(self):
        out = self.arguments.out
        folder.check(out, self.arguments.resume or self.arguments.overwrite)
        if out.exists():
            with folder.locked(out):
                pass  # an early error if another process trains there; `begin` locks it again

    def load(self, loader, **options):
        """Load the images of --data, or the part of them that --limit allows.

        `loader` is a function of `common.data`. It is called with --data, with --image-size and
        --channels if the command line has both, and with `options`. Raises UserError if the images
        do not fill a batch, or if a resumed run had other images.
        """
        arguments = self.arguments
        if self._parser.own_images:
            if arguments.image_size:  # before images are read for minutes
                count_halvings((arguments.image_size, arguments.image_size))
            options |= {"image_size": arguments.image_size, "channels": arguments.channels}
            options |= {"n_batch": arguments.batch_size}
        # What a loader reports of the images was said when the run began.
        quiet = io.StringIO() if arguments.resume or not self._devices.is_first else sys.stderr
        try:
            with contextlib.redirect_stderr(quiet):
                dataset = loader(arguments.data, **options)
        except UserError as problem:
            if not arguments.resume:
                raise
            raise UserError(f"{problem}; if the images have moved, --data says where to") from None
        dataset = dataset.limited(arguments.limit, arguments.seed)
        if len(dataset.images) < arguments.batch_size:
            raise UserError(
                f"{len(dataset.images)} images from {dataset.source} do not fill one batch of "
                f"{arguments.batch_size}: give a smaller --batch-size"
            )
        self._state.set_data(dataset, loader)
        self._devices.check_same({"SHA-256 of the images": self._state.data["sha256"]})
        self._dataset = dataset
        return dataset

    def begin(self, pixel_range, **models):
        """Start the run, or resume it, with the models that it trains.

        First the generator is saved and loaded as `generate.py` does it, so that nothing is trained
        that could not be drawn afterwards. Then the run folder is prepared and, without --plain,
        the models are made faster: `common.models.steps.quicken` says what it replaces. With
        --resume, models, optimizers and random numbers are restored from the checkpoint.

        Args:
            pixel_range: the smallest and the largest value of a pixel that the generator outputs.
            models: all models that are called in training, by name. `generator` must be among them.
                After each epoch it is saved for `generate.py`, and so is `encoder` if there is one.

        Raises UserError for a generator that generate.py could not draw with.
        """
        state, arguments = self._state, self.arguments
        if self._dataset is None:
            raise RuntimeError("run.load(...) must be called before run.begin(...)")
        state.about["pixel_range"] = list(pixel_range)
        with self._devices.one_device(), same_random_numbers():
            compare = self._devices.count == 1
            kind = check_generator(models["generator"], state.about, compare)
            self._quality = Quality(self._dataset, state.about, arguments)
        warn_of_pixel_range(models["generator"], pixel_range)
        if kind in ("integer", "one-hot"):
            self._shown = plotting.spread(len(state.about["class_names"]))
            self.sample_labels = np.tile(self._shown, 10)
        for model in models.values():
            model.jit_compile = arguments.jit  # Keras's default, "auto", uses XLA on a GPU
        self._devices.check_same(resuming.on_all_machines(arguments))
        self._devices.prepare(models.values())
        with self._devices.one_device():
            state.set_models(models)
        if not arguments.plain:
            quicken(*models.values())
            with self._devices.one_device():
                quicken(*state.averaged_models().values())
        self.average = state.average
        self._devices.from_first(self._lock_folder)
        changes = state.restore() if arguments.resume else []
        if self._devices.is_first:
            folder.clear(arguments.out, arguments.overwrite)
        state.write_record()
        on = f" on {self._devices.count} devices" if self._devices.count > 1 else ""
        self._say(
            f"{state.name}: {state.data['images']:,} images ({state.data['source']}), "
            f"batches of {arguments.batch_size}{on}, into {arguments.out}"
        )
        if arguments.resume and (state.progress.epochs or state.progress.steps):
            self._say(f"Resuming after {state.saved}.")
        for line in changes:
            self._say(line)
        state.write_page()
        self._has_page = True
        self._say(f"To watch the training, open {arguments.out / 'index.html'}")
        for number in filter(None, STOPPING):
            usual = signal.getsignal(number)
            if number == signal.SIGINT or usual != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, self._on_signal)
                self._cleanup.callback(signal.signal, number, usual)

    def epochs(self):
        """Yield the number of each epoch that is left. Each epoch must end with `save_epoch`."""
        state, epochs = self._state, self.arguments.epochs
        progress = state.progress
        if progress.epochs >= epochs:
            state.save_results()  # in case a file has been deleted
            self._say(
                "All epochs are finished. To train until a later epoch N: --resume --epochs N"
            )
        while progress.epochs < epochs:
            self._clock = self._last_checkpoint = time.monotonic()
            epoch = progress.epochs + 1
            yield epoch
            if progress.epochs < epoch:
                raise RuntimeError("an epoch ended without run.save_epoch()")
            if not is_terminal():
                self._say(progress.summary(epochs))
            if self._devices.any(bool(self._stopped_by)) and progress.epochs < epochs:
                raise KeyboardInterrupt
        self._say(
            f"Finished: {progress}. Generate images with: "
            f"python generate.py --model {state.folder / 'generator.keras'}"
        )

    def steps(self, count):
        """Yield the number, from 1 to `count`, of each training step that is left in the epoch.

        At the end of each step the averages move (`average`), and the progress is shown. Every
        --checkpoint-minutes a checkpoint is saved. It holds the models and `rng`, so a training
        loop must not keep anything else from step to step.
        """
        progress = self._state.progress
        show = progress_bar(progress, self.arguments.epochs, count, self._devices.is_first)
        for step in range(progress.steps + 1, count + 1):
            yield step
            self.average.update()
            progress.steps = step
            show(step, progress.means())
            if step < count:
                stop = self._devices.any(bool(self._stopped_by))
                minutes = (time.monotonic() - self._last_checkpoint) / 60
                if stop or minutes >= self.arguments.checkpoint_minutes:
                    self._count_time()
                    self._check_weights()
                    self._save_checkpoint()
                    self._state.write_page()
                if stop:
                    raise KeyboardInterrupt
        self._check_weights()

    def log(self, **values):
        """Record losses and accuracies of a step: any names, any number of times.

        The mean of each over the epoch goes into losses.csv and onto the page. Raises Diverged if a
        value is NaN or infinite.
        """
        self._check_values(values, f"step {self._state.progress.steps + 1} of ")
        self._state.progress.add(values)

    def save_epoch(self, images=None, titles=None, **values):
        """Save the averaged models, a sample picture, the values, and all that --resume needs.

        Args:
            images: what the averaged generator has drawn, (n, H, W, C) in the range that `begin`
                was given; None for no picture of this epoch.
            titles: a title for each column of the picture. By default there is a column for each
                class of `sample_labels`, or ten columns.
            values: numbers that are computed once per epoch; they are recorded like losses. Every
                --evaluate-every epochs, figures of the images' quality are recorded, too.
        """
        self._check_values(values, "the end of ")
        state, quality = self._state, {}
        epoch = state.progress.epochs + 1
        self._check_still_there()  # writing the picture would make the folder anew
        if images is not None:
            if titles is None and self.sample_labels is not None:
                titles = [state.about["class_names"][label] for label in self._shown]
            state.save_samples(epoch, images, titles or ())
        if self._devices.is_first:
            with self._devices.one_device():
                quality = self._quality.after(epoch, state.averaged_models()["generator"])
        self._count_time()
        self._check_still_there()
        state.progress.end_epoch(state.progress.means() | values, quality)
        state.save_results()
        self._save_checkpoint()  # after all these, since --resume relies on it alone
        state.write_record()
        state.write_page()

    def __exit__(self, kind, problem, _traceback):
        state, lost = self._state, self._devices and self._devices.lost(problem)
        if self._has_page:
            with contextlib.suppress(OSError):
                self._check_still_there()
                state.write_last_page(RuntimeError(lost) if lost else problem)
        self._cleanup.close()
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._exit(1 if state else 2, f"error: {error_text(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            saved = f", with {state.saved} saved in {state.folder}" if state else ""
            self._exit(1, f"error: out of memory{saved}; {LESS_MEMORY}")
        hint = state.resume_hint() if self._has_page else "before the training began"
        if lost:
            self._exit(1, f"error: {lost}; stopped {hint}")
        if isinstance(problem, KeyboardInterrupt):
            self._exit(128 + (self._stopped_by or signal.SIGINT), f"stopped {hint}")

    def _exit(self, status, message):
        warn(f"{self._parser.prog}: {message}")
        raise SystemExit(status)

    def _say(self, text):
        if self._devices.is_first:
            say(text)

    def _on_signal(self, number, _frame):
        if self._stopped_by:
            raise KeyboardInterrupt
        self._stopped_by = number
        warn("\nStopping after this step; press Ctrl-C again to stop at once.")

    def _lock_folder(self):
        out = self.arguments.out
        out.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._cleanup.enter_context(folder.locked(out))
        folder.check(out, self.arguments.resume or self.arguments.overwrite)

    def _save_checkpoint(self):
        self._check_still_there()
        self._state.save_checkpoint()
        self._last_checkpoint = time.monotonic()

    def _check_values(self, values, where):
        """Raise Diverged if a value is NaN or infinite. `where` is a part of the message."""
        if not all(map(math.isfinite, values.values())):
            found = ", ".join(f"{name} {value:g}" for name, value in values.items())
            epoch = self._state.progress.epochs + 1
            self._diverge(f"at {where}epoch {epoch}: {found}")

    def _check_weights(self):
        """Raise Diverged if a weight is NaN or infinite.

        The losses of a step are computed before the step updates the weights, so the weights can
        be NaN while the losses are still finite.
        """
        if not self._state.is_finite():
            epoch = self._state.progress.epochs + 1
            self._diverge(f"in epoch {epoch}: some weights are NaN or infinite")

    def _diverge(self, where):
        epochs = self._state.progress.epochs
        kept = f"the generator of epoch {epochs} stays in" if epochs else "nothing was saved in"
        raise Diverged(
            f"the training has diverged {where}; {kept} {self._state.folder}; "
            "try another --seed or a larger --batch-size"
        )

    def _count_time(self):
        now = time.monotonic()
        self._state.progress.seconds += now - self._clock
        self._clock = now
