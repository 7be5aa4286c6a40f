"""A training run: its command line, its progress, how it is stopped and resumed.

The `main` of a script contains

    with Run(parser, argv) as run:
        dataset = run.load(datasets.load_fashion_mnist)
        ...                                   # define and compile all models
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(...)

and its `train` contains

    for _epoch in run.epochs():
        for _step in run.steps(n):
            ...                               # train; take all random numbers from run.rng
            run.average.update()
            run.log(d_loss=d_loss, g_loss=g_loss)
        plotting.save_grid(..., run.sample_path())
        run.save_epoch()

A model that `train` itself defines is to be given to `common.models.steps.quicken`: on several
devices, Keras alone would return a batch of images for each of them.

RuntimeError is raised if `begin` is called before `load`, or if an epoch ends without `save_epoch`.
"""

import contextlib
import io
import signal
import sys
import time

from common import UserError
from common.backend import keras, mixed_precision, tensorflow
from common.files import sample_path
from common.models.sizes import count_halvings
from common.models.steps import quicken
from common.training import resuming, run_folder
from common.training.progress import Bar, is_terminal
from common.training.quality import Quality
from common.training.starting import check_folder, start
from common.training.state import Diverged, FollowingState, RunState, error_text

import numpy as np

LESS_MEMORY = "give a smaller --batch-size, --image-size or --width"


class Run:
    """One training run in one folder; a context manager that reports an error in one line.

    After an error in the `with` block, SystemExit is raised. Its status is 2 for a `UserError`; 1
    if the training has diverged, if there was not enough memory, or if a file could not be written;
    130 after Ctrl-C. At the first Ctrl-C the current training step is finished and saved.

    Attributes:
        arguments: the arguments on the command line; with --resume, those that the run began with,
            but for the few that may change, such as --epochs.
        rng: the numpy Generator for all random numbers in training, seeded with --seed.
        sample_rng: a second numpy Generator, for the latents of the sample pictures.
        average: the `MovingAverage` of the models that are saved. None before `begin`.
    """

    def __init__(self, parser, argv=None):
        self._parser = parser
        self.arguments, data, self._devices = start(parser, argv)
        self.rng = np.random.default_rng(self.arguments.seed)
        self.sample_rng = self.rng.spawn(1)[0]
        self.average = self._dataset = None
        state_type = RunState if self._devices.is_first else FollowingState
        name = parser.prog.removesuffix(".py")
        self._state = state_type(name, self.arguments, data, self.rng)
        self._clock = self._last_checkpoint = 0.0
        self._stop = False  # whether Ctrl-C has been pressed
        self._has_page = False
        self._check_still_there = lambda: None
        self._cleanup = contextlib.ExitStack()

    def load(self, loader, **options):
        """Load the images of --data, or the part of them that --limit allows.

        `loader` is a function of `common.data`, which is called with --data and `options`. Raises
        UserError if the images do not fill a batch, or if a resumed run had other images.
        """
        if image_size := options.get("image_size"):
            count_halvings((image_size, image_size))  # before images are read for minutes
        # What a loader reports of the images was said when the run began.
        quiet = self.arguments.resume or not self._devices.is_first
        quiet = io.StringIO() if quiet else sys.stderr
        try:
            with contextlib.redirect_stderr(quiet):
                dataset = loader(self.arguments.data, **options)
        except UserError as problem:
            if not self.arguments.resume:
                raise
            raise UserError(f"{problem}; if the images have moved, --data says where to") from None
        dataset = dataset.limited(self.arguments.limit, self.arguments.seed)
        if len(dataset.images) < self.arguments.batch_size:
            raise UserError(
                f"{len(dataset.images)} images from {dataset.source} do not fill one batch of "
                f"{self.arguments.batch_size}: give a smaller --batch-size"
            )
        self._state.set_data(dataset)
        self._devices.check_same({"SHA-256 of the images": self._state.data["sha256"]})
        self._dataset = dataset
        return dataset

    def begin(self, pixel_range=(-1, 1), **models):
        """Start the run, or resume it, with the models that it trains.

        Prepares the run folder. With --resume, restores the models, the optimizers and the random
        number generators from the checkpoint.

        Args:
            pixel_range: the smallest and the largest value of a pixel that the generator outputs.
            models: all models that are trained, by name. `generator` must be among them. After each
                epoch it is saved for `generate.py`, and so is `encoder` if there is one.
        """
        state = self._state
        if self._dataset is None:
            raise RuntimeError("run.load(...) must be called before run.begin(...)")
        state.about["pixel_range"] = list(pixel_range)
        with self._devices.one_device():
            self._quality = Quality(
                self._dataset, pixel_range, self.arguments.seed, self.arguments.evaluate_every
            )
        for model in models.values():
            model.jit_compile = self.arguments.jit  # Keras's default, "auto", uses XLA on a GPU
        self._devices.check_same(resuming.on_all_machines(self.arguments))
        self._devices.prepare(models.values())
        quicken(*models.values())
        with self._devices.one_device():
            state.set_models(models, self.arguments.average_decay)
            quicken(*state.averaged_models().values())
        self.average = state.average
        self._devices.from_first(self._lock_folder)
        if self.arguments.resume:
            state.restore(self._devices)
        state.clear_folder()
        state.write_record()
        on = f" on {self._devices.count} devices" if self._devices.count > 1 else ""
        self._say(
            f"{state.name}: {state.data['images']:,} images ({state.data['source']}), "
            f"batches of {self.arguments.batch_size}{on}, into {state.folder}"
        )
        if self.arguments.resume and (state.progress.epochs or state.progress.steps):
            self._say(f"Resuming after {state.saved}.")
        state.write_page()
        self._has_page = True
        self._say(f"To watch the training, open {state.folder / 'index.html'}")
        usual_handler = signal.signal(signal.SIGINT, self._on_interrupt)
        self._cleanup.callback(signal.signal, signal.SIGINT, usual_handler)

    def epochs(self):
        """Yield the number of each epoch that is left. Each epoch must end with `save_epoch`."""
        progress, epochs = self._state.progress, self.arguments.epochs
        if progress.epochs >= epochs:
            self._state.save_results()  # in case a file has been deleted
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
            if self._devices.any(self._stop) and progress.epochs < epochs:
                raise KeyboardInterrupt
        self._say(
            f"Finished: {progress}. Generate images with: "
            f"python generate.py --model {self._state.folder / 'generator.keras'}"
        )

    def steps(self, count):
        """Yield the number, from 1 to `count`, of each training step that is left in the epoch.

        Shows the progress, and saves a checkpoint every --checkpoint-minutes. A checkpoint holds
        the models and `rng`, so a training loop must not keep anything else from step to step.
        """
        progress = self._state.progress
        bar = Bar(progress, self.arguments.epochs, count, self._devices.is_first)
        for step in range(progress.steps + 1, count + 1):
            yield step
            progress.steps = step
            bar.show(step, progress.means())
            if step < count:
                stop = self._devices.any(self._stop)
                minutes = (time.monotonic() - self._last_checkpoint) / 60
                if stop or minutes >= self.arguments.checkpoint_minutes:
                    self._count_time()
                    self._state.check_weights()
                    self._save_checkpoint()
                    self._state.write_page()
                if stop:
                    raise KeyboardInterrupt
        self._state.check_weights()

    def log(self, **losses):
        """Record the losses and accuracies of a step. Raises Diverged if one is NaN or infinite."""
        progress = self._state.progress
        self._state.check_losses(losses, f"step {progress.steps + 1} of ")
        progress.add(losses)

    def sample_path(self):
        """The path for the sample picture of the epoch that has just been trained.

        It is None on a machine that is not the first, where nothing is drawn.
        """
        if not self._devices.is_first:
            return None
        self._check_still_there()  # writing the picture would make the folder anew
        return sample_path(self._state.folder, self._state.progress.epochs + 1)

    def save_epoch(self, **values):
        """Save the averaged models, the losses, and all that --resume needs.

        `values` are numbers that are computed once per epoch; they are recorded like losses. Every
        --evaluate-every epochs, figures of the quality of the generated images are recorded, too.
        """
        state = self._state
        state.check_losses(values, "the end of ")
        quality = {}
        if self._devices.is_first:
            averaged = state.averaged_models()["generator"]
            with self._devices.one_device():
                quality = self._quality.after(state.progress.epochs + 1, averaged)
        self._count_time()
        self._check_still_there()
        state.progress.end_epoch(state.progress.means() | values, quality)
        state.save_results()
        self._save_checkpoint()  # last, since --resume relies on it alone
        state.write_record()
        state.write_page()

    def __enter__(self):
        policy = mixed_precision() if self.arguments.mixed_precision else "float32"
        self._cleanup.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy(policy)
        self._devices.enter()
        self._cleanup.callback(self._devices.leave)
        return self

    def __exit__(self, kind, problem, _traceback):
        lost = self._devices.lost(problem)
        if self._has_page:
            with contextlib.suppress(OSError):
                self._check_still_there()
                self._state.write_last_page(RuntimeError(lost) if lost else problem)
        self._cleanup.close()
        state = self._state
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._exit(1, f"error: {error_text(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            saved = f"{state.saved} saved in {state.folder}"
            self._exit(1, f"error: out of memory, with {saved}; {LESS_MEMORY}")
        hint = state.resume_hint() + " (on all machines)" * bool(self._devices.addresses)
        if lost:
            self._exit(1, f"error: {lost}; stopped {hint}")
        if isinstance(problem, KeyboardInterrupt):
            self._exit(130, f"stopped {hint}")

    def _say(self, text):
        if self._devices.is_first:
            print(text, flush=True)

    def _exit(self, status, message):
        print(f"{self._state.name}.py: {message}", file=sys.stderr)
        raise SystemExit(status)

    def _lock_folder(self):
        folder = self._state.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._cleanup.enter_context(run_folder.locked(folder))
        check_folder(self.arguments)

    def _save_checkpoint(self):
        self._check_still_there()
        self._state.save_checkpoint()
        self._last_checkpoint = time.monotonic()

    def _count_time(self):
        now = time.monotonic()
        self._state.progress.seconds += now - self._clock
        self._clock = now

    def _on_interrupt(self, _signal, _frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._stop = True
        print("\nStopping after this step; press Ctrl-C again to stop at once.", file=sys.stderr)
