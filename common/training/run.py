"""A training run: its command line, its folder, its progress, stopping and going on.

A script's `main` reads

    with Run(parser, argv) as run:
        dataset = run.load(datasets.load_fashion_mnist)
        ...                                   # define the models
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
"""

import contextlib
import math
import signal
import sys
import time

from common import UserError, plotting
from common.arguments import check_training
from common.backend import keras, mixed_precision, tensorflow
from common.files import sample_path
from common.models import memory, saved_models
from common.models.averaging import MovingAverage
from common.models.steps import quicken
from common.training import checkpoints, page, resuming, run_folder
from common.training.progress import Bar, Progress, is_terminal
from common.training.quality import Quality

import numpy as np

SAVED_MODELS = ("generator", "encoder")  # what draws pictures later, each in a file of its own


class Diverged(Exception):
    """The training has come to NaN or infinite numbers, from which it never returns."""


class Run:
    """One training run in one folder; a context manager that turns what went wrong into one line.

    Leaving the `with` block raises SystemExit: with status 2 after a `UserError`, 1 after the
    training has diverged or a file could not be written, 130 after Ctrl-C. The first Ctrl-C waits
    for the end of the training step and saves it.

    Attributes:
        arguments: what the command line said; on --resume, what it said when the run began.
        rng: the numpy Generator of all random numbers of the training, seeded from --seed.
        sample_rng: another one, for the latents of the sample pictures.
        average: the `MovingAverage` of the models that are saved, from `begin` on.
    """

    def __init__(self, parser, argv=None):
        self._parser = parser
        self.name = parser.prog.removesuffix(".py")
        self.arguments = parser.parse_args(argv)
        self.folder = self.arguments.out
        self._models = {}
        self._data = {}  # what run.json says of it
        self._dataset = None
        self._about = {"script": self.name}  # what a saved generator says of itself
        self._progress = Progress()
        self._saved = str(self._progress)
        self._clock = self._last_checkpoint = 0.0
        self._stop = False  # after Ctrl-C
        self._began = False  # has the folder, and a page in it
        self._leaving = contextlib.ExitStack()
        try:
            if self.arguments.resume:
                argv = sys.argv[1:] if argv is None else list(argv)
                self.arguments, self._data = resuming.read_arguments(self.folder, parser, argv)
            check_training(self.arguments)
            self._check_folder()
            if self.folder.exists():
                with run_folder.locked(self.folder):
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

    def load(self, loader, **options):
        """Call a loader of `common.data` with --data and `options`; keep --limit of the images."""
        dataset = loader(self.arguments.data, **options).first(self.arguments.limit)
        if len(dataset.images) < self.arguments.batch_size:
            raise UserError(
                f"{len(dataset.images)} images from {dataset.source} do not fill one batch of "
                f"{self.arguments.batch_size}: give a smaller --batch-size"
            )
        digest = dataset.sha256()
        if self._data.get("sha256") not in (None, digest):
            raise UserError(
                f"the images from {dataset.source} are not those that the run in {self.folder} "
                f"began with ({self._data.get('images')} from {self._data.get('source')})"
            )
        self._data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        for name in ("class_names", "colours"):
            if hasattr(dataset, name):
                self._about[name] = np.asarray(getattr(dataset, name)).tolist()
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
        self._models = models
        self._about["pixel_range"] = list(pixel_range)
        arguments = self.arguments
        self._quality = Quality(
            self._dataset, pixel_range, arguments.seed, arguments.evaluate_every
        )
        for model in models.values():
            model.jit_compile = self.arguments.jit  # not "auto", which is XLA on a GPU
        self.average = MovingAverage(
            *[models[name] for name in SAVED_MODELS if name in models],
            decay=self.arguments.average_decay,
        )
        quicken(*models.values())
        quicken(*[self.average.of(models[name]) for name in SAVED_MODELS if name in models])
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._leaving.enter_context(run_folder.locked(self.folder))
        self._check_folder()
        if self.arguments.resume:
            self._restore()
            run_folder.delete_half_written(self.folder)
        elif self.arguments.overwrite:
            run_folder.delete_run(self.folder)
        (self.folder / "samples").mkdir(exist_ok=True)
        memory.warn_if_too_small(models, self.arguments.batch_size)
        self._write_record()
        print(
            f"{self.name}: {self._data['images']:,} images ({self._data['source']}), "
            f"batches of {self.arguments.batch_size}, into {self.folder}",
            flush=True,
        )
        if self.arguments.resume and self._saved != str(Progress()):
            print(f"Going on after {self._saved}.", flush=True)
        self._write_page()
        self._began = True
        print(f"Watch it: {self.folder / 'index.html'}", flush=True)
        usual_handler = signal.signal(signal.SIGINT, self._on_interrupt)
        self._leaving.callback(signal.signal, signal.SIGINT, usual_handler)

    def epochs(self):
        """Yield the number of each epoch still to do, from 1. Each must end with `save_epoch`."""
        progress, epochs = self._progress, self.arguments.epochs
        if progress.epochs >= epochs:
            self._save_results()  # should a file have gone since
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
            f"python generate.py --model {self.folder / 'generator.keras'}",
            flush=True,
        )

    def steps(self, count):
        """Yield the number of each training step still to do in an epoch, from 1 to `count`.

        Shows the progress, and saves a checkpoint every --checkpoint-minutes. What is needed to go
        on from there must be in the models or in `rng`: a loop keeps nothing else between steps.
        """
        progress = self._progress
        bar = Bar(progress, self.arguments.epochs, count)
        for step in range(progress.steps + 1, count + 1):
            yield step
            progress.steps = step
            bar.show(step, progress.means())
            if step < count:
                minutes = (time.monotonic() - self._last_checkpoint) / 60
                if self._stop or minutes >= self.arguments.checkpoint_minutes:
                    self._count_time()
                    self._check_models()
                    self._save_checkpoint()
                    self._write_page()
                if self._stop:
                    raise KeyboardInterrupt
        self._check_models()

    def log(self, **losses):
        """Take the losses and accuracies of a step, plain numbers. Raises Diverged for NaN."""
        self._check_finite(losses, f"step {self._progress.steps + 1} of ")
        self._progress.add(losses)

    def sample_path(self):
        """Where the sample picture of the epoch that has just been trained belongs."""
        return sample_path(self.folder, self._progress.epochs + 1)

    def save_epoch(self, **values):
        """Save the averaged models, the losses, and all that --resume needs.

        `values` are what is measured once in an epoch, plain numbers; they join the losses. Every
        --evaluate-every epochs, figures on the images of the averaged generator are beside them.
        """
        self._check_finite(values, "the end of ")
        progress = self._progress
        averaged = self.average.of(self._models["generator"])
        quality = self._quality.after(progress.epochs + 1, averaged)
        self._count_time()
        self._check_still_there()
        progress.end_epoch(progress.means() | values, quality)
        self._save_results()
        self._save_checkpoint()  # after the others: --resume goes by it alone
        self._write_record()
        self._write_page()

    def __enter__(self):
        policy = mixed_precision() if self.arguments.mixed_precision else "float32"
        self._leaving.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy(policy)
        return self

    def __exit__(self, kind, problem, _traceback):
        self._write_last_page(problem)
        self._leaving.close()
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._leave(1, f"error: {_described(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            self._leave(
                1,
                f"error: out of memory, with {self._saved} saved in {self.folder}; give a smaller "
                f"{memory.OPTIONS}",
            )
        if isinstance(problem, KeyboardInterrupt):
            self._leave(130, f"stopped {self._how_to_go_on()}")

    def _leave(self, status, message):
        print(f"{self.name}.py: {message}", file=sys.stderr)
        raise SystemExit(status)

    def _check_folder(self):
        run_folder.check(self.folder, self.arguments.resume or self.arguments.overwrite)

    def _check_finite(self, losses, where):
        if not all(map(math.isfinite, losses.values())):
            values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            self._diverge(f"at {where}epoch {self._progress.epochs + 1}: {values}")

    def _diverge(self, where):
        epochs = self._progress.epochs
        kept = f"the generator of epoch {epochs} stays in" if epochs else "nothing was saved in"
        raise Diverged(
            f"the training has diverged {where}; {kept} {self.folder}; "
            "try another --seed or a larger --batch-size"
        )

    def _with_average(self):
        return self._models | {"average": self.average}

    def _identity(self):
        return resuming.identity(self.arguments, self._data)

    def _restore(self):
        path = self.folder / "checkpoint.npz"
        if not path.exists():  # stopped within the first epoch
            return

        def check_state(state):
            resuming.check_state(state, self.name, self._identity(), self.folder)

        arrays, state = checkpoints.read(path, self._with_average(), check_state)
        try:
            self._progress = Progress.from_json(state["progress"])
            self.rng.bit_generator.state = state["rng"]
        except UserError as problem:
            raise UserError(f"{path} is damaged: {problem}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is damaged: {problem}") from None
        checkpoints.restore(self._with_average(), arrays)
        self._saved = str(self._progress)
        self.arguments.epochs = max(self.arguments.epochs, self._progress.epochs)

    def _save_results(self):
        for name in SAVED_MODELS:
            if name in self._models:
                averaged = self.average.of(self._models[name])
                saved_models.save(averaged, self.folder / f"{name}.keras", self._about)
        history, quality = self._progress.history, self._progress.quality
        run_folder.write_losses(self.folder, history | quality)
        plotting.save_curves(history, self.folder / "losses.png")
        if quality:
            plotting.save_quality(quality, self.folder / "quality.png")

    def _save_checkpoint(self):
        self._check_still_there()
        state = run_folder.origin(self.name) | {
            "run": self._identity(),
            "progress": vars(self._progress),
            "rng": self.rng.bit_generator.state,
        }
        checkpoints.save(self.folder / "checkpoint.npz", self._with_average(), state)
        self._saved = str(self._progress)
        self._last_checkpoint = time.monotonic()

    def _check_models(self):
        """The losses of a step are those before its update: the weights may be NaN by now."""
        if not checkpoints.is_finite(self._models):
            self._diverge(f"in epoch {self._progress.epochs + 1}: there are weights that are NaN")

    def _count_time(self):
        now = time.monotonic()
        self._progress.seconds += now - self._clock
        self._clock = now

    def _record(self):
        not_kept = ("out", "resume", "overwrite")
        arguments = {k: v for k, v in vars(self.arguments).items() if k not in not_kept}
        return run_folder.origin(self.name) | {
            "arguments": {name.replace("_", "-"): value for name, value in arguments.items()},
            "data": self._data,
            "epochs_finished": self._progress.epochs,
            "seconds": round(self._progress.seconds, 1),
        }

    def _write_record(self):
        run_folder.write_record(self.folder, self._record())

    def _write_page(self, state="running", message=""):
        record = self._record()
        record["data"] = self._data | {"classes": self._about.get("class_names")}
        page.write(self.folder, record, self._progress, state, message)

    def _write_last_page(self, problem):
        if not self._began:
            return
        # If the page is what cannot be written, it is enough to hear of that once.
        with contextlib.suppress(OSError):
            self._check_still_there()
            if problem is None:
                self._write_page("finished")
            elif isinstance(problem, KeyboardInterrupt):
                self._write_page("stopped", f"Stopped with {self._saved} saved.")
            else:
                self._write_page("failed", _described(problem))

    def _how_to_go_on(self):
        if not self._models:
            return "before the training began"
        command = resuming.command(self.name, self.folder)
        return f"with {self._saved} saved in {self.folder}; go on with: {command}"

    def _on_interrupt(self, _signal, _frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._stop = True
        print("\nStopping after this step; Ctrl-C once more stops at once.", file=sys.stderr)


def _described(problem):
    """What an exception says, on one line."""
    if isinstance(problem, OSError):
        return f"{problem.filename or 'standard output'}: {problem.strerror}"
    return " ".join(str(problem).split()) or type(problem).__name__
