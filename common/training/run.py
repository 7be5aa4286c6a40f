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

RuntimeError is raised if `begin` is called before `load`, or if an epoch ends without `save_epoch`.
"""

import contextlib
import io
import signal
import sys
import time

from common import UserError
from common.arguments import check_training
from common.backend import keras, mixed_precision, tensorflow
from common.files import sample_path
from common.models import memory
from common.models.sizes import count_halvings
from common.models.steps import quicken
from common.training import resuming, run_folder
from common.training.progress import Bar, is_terminal
from common.training.quality import Quality
from common.training.state import Diverged, RunState, error_text

import numpy as np


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
        name = parser.prog.removesuffix(".py")
        self.arguments, data = parser.parse_args(argv), {}
        try:
            if self.arguments.resume:
                argv = sys.argv[1:] if argv is None else list(argv)
                self.arguments, data = resuming.read_arguments(self.arguments.out, parser, argv)
            check_training(self.arguments)
            self._check_folder()
            if self.arguments.out.exists():
                with run_folder.locked(self.arguments.out):
                    pass  # an early error if another process trains there; `begin` locks it again
            keras.utils.set_random_seed(self.arguments.seed)
            if self.arguments.deterministic:
                tensorflow.config.experimental.enable_op_determinism()
        except UserError as problem:
            parser.error(problem)
        except OSError as problem:
            parser.error(f"{problem.filename}: {problem.strerror}")
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        self.rng = np.random.default_rng(self.arguments.seed)
        self.sample_rng = self.rng.spawn(1)[0]
        self.average = self._dataset = None
        self._state = RunState(name, self.arguments, data, self.rng)
        self._clock = self._last_checkpoint = 0.0
        self._stop = False  # whether Ctrl-C has been pressed
        self._has_page = False
        self._cleanup = contextlib.ExitStack()

    def load(self, loader, **options):
        """Load the images of --data, or the part of them that --limit allows.

        `loader` is a function of `common.data`, which is called with --data and `options`. Raises
        UserError if the images do not fill a batch, or if a resumed run had other images.
        """
        state = self._state
        if image_size := options.get("image_size"):
            count_halvings((image_size, image_size))  # before images are read for minutes
        # What a loader reports of the images was said when the run began.
        quiet = io.StringIO() if self.arguments.resume else sys.stderr
        with contextlib.redirect_stderr(quiet):
            dataset = loader(self.arguments.data, **options)
        dataset = dataset.limited(self.arguments.limit, self.arguments.seed)
        if len(dataset.images) < self.arguments.batch_size:
            raise UserError(
                f"{len(dataset.images)} images from {dataset.source} do not fill one batch of "
                f"{self.arguments.batch_size}: give a smaller --batch-size"
            )
        digest = dataset.sha256()
        if state.data.get("sha256") not in (None, digest):
            raise UserError(
                f"the images from {dataset.source} are not those that the run in {state.folder} "
                f"began with: {state.data.get('images')} from {state.data.get('source')}"
            )
        state.data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        for name in ("class_names", "colours", "numbered_from"):
            if hasattr(dataset, name):
                state.about[name] = np.asarray(getattr(dataset, name)).tolist()
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
        self._quality = Quality(
            self._dataset, pixel_range, self.arguments.seed, self.arguments.evaluate_every
        )
        for model in models.values():
            model.jit_compile = self.arguments.jit  # Keras's default, "auto", uses XLA on a GPU
        state.set_models(models, self.arguments.average_decay)
        self.average = state.average
        quicken(*models.values(), *state.averaged_models().values())
        state.folder.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._cleanup.enter_context(run_folder.locked(state.folder))
        self._check_folder()
        if self.arguments.resume:
            state.restore()
            run_folder.delete_half_written(state.folder)
        elif self.arguments.overwrite:
            run_folder.delete_run(state.folder)
        (state.folder / "samples").mkdir(exist_ok=True)
        memory.warn_if_too_small(models, self.arguments.batch_size)
        state.write_record()
        print(
            f"{state.name}: {state.data['images']:,} images ({state.data['source']}), "
            f"batches of {self.arguments.batch_size}, into {state.folder}",
            flush=True,
        )
        if self.arguments.resume and (state.progress.epochs or state.progress.steps):
            print(f"Resuming after {state.saved}.", flush=True)
        state.write_page()
        self._has_page = True
        print(f"To watch the training, open {state.folder / 'index.html'}", flush=True)
        usual_handler = signal.signal(signal.SIGINT, self._on_interrupt)
        self._cleanup.callback(signal.signal, signal.SIGINT, usual_handler)

    def epochs(self):
        """Yield the number of each epoch that is left. Each epoch must end with `save_epoch`."""
        progress, epochs = self._state.progress, self.arguments.epochs
        if progress.epochs >= epochs:
            self._state.save_results()  # in case a file has been deleted
            print("All epochs are finished. To train until a later epoch N: --resume --epochs N")
        while progress.epochs < epochs:
            self._clock = self._last_checkpoint = time.monotonic()
            epoch = progress.epochs + 1
            yield epoch
            if progress.epochs < epoch:
                raise RuntimeError("an epoch ended without run.save_epoch()")
            if not is_terminal():
                print(progress.summary(epochs), flush=True)
            if self._stop and progress.epochs < epochs:
                raise KeyboardInterrupt
        print(
            f"Finished: {progress}. Generate images with: "
            f"python generate.py --model {self._state.folder / 'generator.keras'}",
            flush=True,
        )

    def steps(self, count):
        """Yield the number, from 1 to `count`, of each training step that is left in the epoch.

        Shows the progress, and saves a checkpoint every --checkpoint-minutes. A checkpoint holds
        the models and `rng`, so a training loop must not keep anything else from step to step.
        """
        progress = self._state.progress
        bar = Bar(progress, self.arguments.epochs, count)
        for step in range(progress.steps + 1, count + 1):
            yield step
            progress.steps = step
            bar.show(step, progress.means())
            if step < count:
                minutes = (time.monotonic() - self._last_checkpoint) / 60
                if self._stop or minutes >= self.arguments.checkpoint_minutes:
                    self._count_time()
                    self._state.check_weights()
                    self._save_checkpoint()
                    self._state.write_page()
                if self._stop:
                    raise KeyboardInterrupt
        self._state.check_weights()

    def log(self, **losses):
        """Record the losses and accuracies of a step. Raises Diverged if one is NaN or infinite."""
        progress = self._state.progress
        self._state.check_losses(losses, f"step {progress.steps + 1} of ")
        progress.add(losses)

    def sample_path(self):
        """The path for the sample picture of the epoch that has just been trained."""
        self._check_still_there()  # writing the picture would make the folder anew
        return sample_path(self._state.folder, self._state.progress.epochs + 1)

    def save_epoch(self, **values):
        """Save the averaged models, the losses, and all that --resume needs.

        `values` are numbers that are computed once per epoch; they are recorded like losses. Every
        --evaluate-every epochs, figures of the quality of the generated images are recorded, too.
        """
        state = self._state
        state.check_losses(values, "the end of ")
        averaged = state.averaged_models()["generator"]
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
        return self

    def __exit__(self, kind, problem, _traceback):
        if self._has_page:
            with contextlib.suppress(OSError):
                self._check_still_there()
                self._state.write_last_page(problem)
        self._cleanup.close()
        state = self._state
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._exit(1, f"error: {error_text(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            saved = f"{state.saved} saved in {state.folder}"
            self._exit(1, f"error: out of memory, with {saved}; give a smaller {memory.OPTIONS}")
        if isinstance(problem, KeyboardInterrupt):
            self._exit(130, f"stopped {state.resume_hint()}")

    def _exit(self, status, message):
        print(f"{self._state.name}.py: {message}", file=sys.stderr)
        raise SystemExit(status)

    def _check_folder(self):
        may_hold_a_run = self.arguments.resume or self.arguments.overwrite
        run_folder.check(self.arguments.out, may_hold_a_run)

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
