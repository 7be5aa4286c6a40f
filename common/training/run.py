"""A training run: its command line, its progress, stopping and going on.

A script's `main` reads

    with Run(parser, argv) as run:
        dataset = run.load(datasets.load_fashion_mnist)
        ...                                   # define all models
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(...)

and its `train` reads

    for _epoch in run.epochs():
        for _step in run.steps(n):
            ...                               # random numbers all from run.rng
            run.average.update()
            run.log(d_loss=d_loss, g_loss=g_loss)
        plotting.save_grid(..., run.sample_path())
        run.save_epoch()

Whoever calls them in another order hears of it: data have to be loaded before `begin`, and each
epoch has to end with `save_epoch`.
"""

import contextlib
import signal
import sys
import time

from common import UserError
from common.arguments import check_training
from common.backend import keras, mixed_precision, tensorflow
from common.files import sample_path
from common.models import memory
from common.models.steps import quicken
from common.training import resuming, run_folder
from common.training.progress import Bar, is_terminal
from common.training.quality import Quality
from common.training.state import Diverged, RunState, described

import numpy as np


class Run:
    """One training run in one folder; a context manager that turns what went wrong into one line.

    Leaving the `with` block raises SystemExit: with status 2 after a `UserError`, 1 after the
    training has diverged, memory was short or a file could not be written, 130 after Ctrl-C. The
    first Ctrl-C waits for the end of the training step and saves it.

    Attributes:
        arguments: what the command line said; on --resume, what it said when the run began.
        rng: the numpy Generator of all random numbers of the training, seeded from --seed.
        sample_rng: another one, for the latents of the sample pictures.
        average: the `MovingAverage` of the models that are saved, from `begin` on.
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
                    pass  # it is free now, and held from `begin` on
        except UserError as problem:
            parser.error(problem)
        except OSError as problem:
            parser.error(f"{problem.filename}: {problem.strerror}")
        keras.utils.set_random_seed(self.arguments.seed)
        if self.arguments.deterministic:
            tensorflow.config.experimental.enable_op_determinism()
        self.rng = np.random.default_rng(self.arguments.seed)
        self.sample_rng = self.rng.spawn(1)[0]
        self.average = self._dataset = None
        self._state = RunState(name, self.arguments, data, self.rng)
        self._clock = self._last_checkpoint = 0.0
        self._stop = False  # after Ctrl-C
        self._began = False  # has the folder, and a page in it
        self._leaving = contextlib.ExitStack()

    def load(self, loader, **options):
        """Call a loader of `common.data` with --data and `options`; keep --limit of the images."""
        state = self._state
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
                f"began with ({state.data.get('images')} from {state.data.get('source')})"
            )
        state.data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        for name in ("class_names", "colours"):
            if hasattr(dataset, name):
                state.about[name] = np.asarray(getattr(dataset, name)).tolist()
        self._dataset = dataset
        return dataset

    def begin(self, pixel_range=(-1, 1), **models):
        """Take the models of the run, once all are defined; make the folder ready.

        On --resume, puts models, optimizers and random numbers where the checkpoint left them.

        Args:
            pixel_range: the least and the greatest value of a pixel that the generator makes.
            models: all models that are trained, one of them `generator`. That one is saved after
                each epoch for `generate.py`, and so is `encoder`, if there is one.
        """
        state = self._state
        if self._dataset is None:
            raise RuntimeError("run.load(...) has to come before run.begin(...)")
        state.about["pixel_range"] = list(pixel_range)
        self._quality = Quality(
            self._dataset, pixel_range, self.arguments.seed, self.arguments.evaluate_every
        )
        for model in models.values():
            model.jit_compile = self.arguments.jit  # not "auto", which is XLA on a GPU
        state.take(models, self.arguments.average_decay)
        self.average = state.average
        quicken(*models.values(), *state.averaged_models().values())
        state.folder.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._leaving.enter_context(run_folder.locked(state.folder))
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
            print(f"Going on after {state.saved}.", flush=True)
        state.write_page()
        self._began = True
        print(f"Watch it: {state.folder / 'index.html'}", flush=True)
        usual_handler = signal.signal(signal.SIGINT, self._on_interrupt)
        self._leaving.callback(signal.signal, signal.SIGINT, usual_handler)

    def epochs(self):
        """Yield the number of each epoch still to do, from 1. Each must end with `save_epoch`."""
        progress, epochs = self._state.progress, self.arguments.epochs
        if progress.epochs >= epochs:
            self._state.save_results()  # should a file have gone since
            print("There is nothing left to do; --resume --epochs N goes on to epoch N.")
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
            f"Finished: {progress}. Sample it with: "
            f"python generate.py --model {self._state.folder / 'generator.keras'}",
            flush=True,
        )

    def steps(self, count):
        """Yield the number of each training step still to do in an epoch, from 1 to `count`.

        Shows the progress, and saves a checkpoint every --checkpoint-minutes. What is needed to go
        on from there must be in the models or in `rng`: a loop keeps nothing else between steps.
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
        """Take the losses and accuracies of a step, plain numbers. Raises Diverged for NaN."""
        progress = self._state.progress
        self._state.check_losses(losses, f"step {progress.steps + 1} of ")
        progress.add(losses)

    def sample_path(self):
        """Where the sample picture of the epoch that has just been trained belongs."""
        return sample_path(self._state.folder, self._state.progress.epochs + 1)

    def save_epoch(self, **values):
        """Save the averaged models, the losses, and all that --resume needs.

        `values` are what is measured once in an epoch, plain numbers; they join the losses. Every
        --evaluate-every epochs, figures on the images of the averaged generator are beside them.
        """
        state = self._state
        state.check_losses(values, "the end of ")
        averaged = state.averaged_models()["generator"]
        quality = self._quality.after(state.progress.epochs + 1, averaged)
        self._count_time()
        self._check_still_there()
        state.progress.end_epoch(state.progress.means() | values, quality)
        state.save_results()
        self._save_checkpoint()  # after the others: --resume goes by it alone
        state.write_record()
        state.write_page()

    def __enter__(self):
        policy = mixed_precision() if self.arguments.mixed_precision else "float32"
        self._leaving.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy(policy)
        return self

    def __exit__(self, kind, problem, _traceback):
        if self._began:
            with contextlib.suppress(OSError):
                self._check_still_there()
                self._state.write_last_page(problem)
        self._leaving.close()
        state = self._state
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._leave(1, f"error: {described(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            kept = f"with {state.saved} saved in {state.folder}"
            self._leave(1, f"error: out of memory, {kept}; give a smaller {memory.OPTIONS}")
        if isinstance(problem, KeyboardInterrupt):
            self._leave(130, f"stopped {state.how_to_go_on()}")

    def _leave(self, status, message):
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
        print("\nStopping after this step; Ctrl-C once more stops at once.", file=sys.stderr)
