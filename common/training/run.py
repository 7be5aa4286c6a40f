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
"""

import contextlib
import io
import signal
import sys
import time

from common import UserError, plotting
from common.arguments import check_training, command_line, error_text, image_options
from common.backend import keras, mixed_precision, tensorflow
from common.models.averaging import MovingAverage
from common.models.generators import normal_distribution
from common.models.sizes import count_halvings
from common.models.steps import quicken
from common.training import checkpoints, checks, folder, hardware, page, resuming
from common.training.checks import Diverged, same_random_numbers
from common.training.devices import Devices
from common.training.progress import Progress, Stopwatch, can_redraw, end, progress_bar, say, warn
from common.training.quality import Quality, best, remarks

import numpy as np

# Ctrl-C, and what batch systems, closed connections, and Ctrl-Break on Windows send.
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGBREAK")


class Run:
    """One training run in one folder; a context manager that reports an error in one line.

    After an error in the `with` block, SystemExit is raised. Its status is 2 for a `UserError`; 1
    if the training has diverged, if there was not enough memory, or if a file could not be written;
    130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP. At the first of these signals, and others
    that would end the process, the current training step is finished and saved.

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
        self._devices = self._dataset = self.average = self.sample_labels = None
        self._data, self._about = {}, {"script": parser.name}  # for run.json; for the saved models
        self._progress = Progress()
        self._saved = str(self._progress)  # what the newest checkpoint holds
        self._stopwatch, self._last_checkpoint = Stopwatch(), 0.0
        self._stopped_by = None  # the number of a signal
        self._has_started = self._has_page = False
        self._check_still_there = lambda: None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._start()
            return self
        except BaseException as problem:
            self.__exit__(type(problem), problem, None)
            raise

    def _start(self):
        """Read the command line, and check what can be checked early."""
        arguments = self._parser.parse_args(self._argv)
        self._devices = Devices(arguments.gpus)
        if arguments.resume:
            out, name = arguments.out, self._parser.name
            record = self._devices.from_first(lambda: folder.read_record(out, name))
            arguments = resuming.arguments_of(record, self._parser, self._argv)
            self._data = record["data"]
        self.arguments, self.folder = arguments, arguments.out
        check_training(arguments)
        self._devices.check(arguments)
        self._devices.check_same(resuming.on_all_machines(arguments))
        may_hold_a_run = arguments.resume or arguments.overwrite
        self._devices.from_first(lambda: folder.check(self.folder, may_hold_a_run))
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
        self._has_started = True

    def load(self, loader, **options):
        """Load the images of --data, or the part of them that --limit allows.

        `loader` is a function of `common.data`. It is called with --data, with the options for own
        images if the command line has these, and with `options`. Raises UserError if the images do
        not fill a batch, or if a resumed run had other images.
        """
        arguments = self.arguments
        if self._parser.own_images:
            if arguments.image_size:  # before images are read for minutes
                count_halvings((arguments.image_size, arguments.image_size))
            options |= image_options(arguments)
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
        digest = checks.check_dataset(dataset, arguments, self._data)
        self._devices.check_same({"SHA-256 of the images": digest})
        self._data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        self._data["loader"] = getattr(loader, "__name__", None)
        self._about |= checks.known_of(dataset)
        self._data["classes"] = self._about.get("class_names")
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

        Raises UserError for a generator that generate.py could not draw with, and RuntimeError if
        no images have been loaded.
        """
        if self._dataset is None:
            raise RuntimeError("run.load(...) must be called before run.begin(...)")
        arguments, devices = self.arguments, self._devices
        self._about["pixel_range"] = list(pixel_range)
        with devices.one_device(), same_random_numbers():
            kind = checks.check_generator(
                models["generator"], self._about, compare=devices.count == 1
            )
            self._quality = Quality(self._dataset, self._about, arguments)
        checks.warn_of_pixel_range(models["generator"], pixel_range)
        if kind in ("integer", "one-hot"):
            self._shown = plotting.spread(len(self._about["class_names"]))
            self.sample_labels = np.tile(self._shown, 10)
        for model in models.values():
            model.jit_compile = arguments.jit  # Keras's default, "auto", uses XLA on a GPU
        devices.check_same(resuming.on_all_machines(arguments))
        devices.prepare(models.values())
        saved = {name: models[name] for name in folder.SAVED_MODELS if name in models}
        with devices.one_device():
            self.average = MovingAverage(*saved.values(), decay=arguments.average_decay)
        self._averaged = {name: self.average.of(model) for name, model in saved.items()}
        if not arguments.plain:
            quicken(*models.values())
            with devices.one_device():
                quicken(*self._averaged.values())
        self._device = hardware.describe(devices.count)
        hardware.warn_of_unused_gpu()
        self._models, self._rates = models, checkpoints.learning_rates(models)
        devices.from_first(self._lock_folder)
        changes = self._restore() if arguments.resume else []
        devices.leave()  # no variable is created any more; averaged copies predict on one
        if devices.is_first:
            folder.clear(self.folder, arguments.overwrite)
        self._save_again()
        self._say(
            f"{self._parser.name}: {self._data['images']:,} images ({self._data['source']}), "
            f"batches of {arguments.batch_size} on {self._device}, into {self.folder}"
        )
        if arguments.resume and (self._progress.epochs or self._progress.steps):
            self._say(f"Resuming after {self._saved}.")
        self._say(*changes)
        self._write_page()
        self._has_page = True
        self._say(f"To watch the training, open {self.folder / 'index.html'}")
        for number in [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]:
            usual = signal.getsignal(number)
            if number == signal.SIGINT or usual != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, self._on_signal)
                self._cleanup.callback(signal.signal, number, usual)

    def epochs(self):
        """Yield the number of each epoch that is left. Each epoch must end with `save_epoch`."""
        progress, epochs = self._progress, self.arguments.epochs
        if progress.epochs >= epochs:
            self._save_results()  # in case a file has been deleted
            self._say("All epochs are finished. To train until epoch N: --resume --epochs N")
        while progress.epochs < epochs:
            self._last_checkpoint = time.monotonic()
            self._stopwatch.lap()  # what came before is not training
            epoch = progress.epochs + 1
            yield epoch
            if progress.epochs < epoch:
                raise RuntimeError("an epoch ended without run.save_epoch()")
            if not can_redraw():
                self._say(progress.summary(epochs))
            if self._devices.any(bool(self._stopped_by)) and progress.epochs < epochs:
                raise KeyboardInterrupt
        self._say(*(remarks(progress.quality) if self._record()["best"] else ()))
        draw = command_line("generate.py", "--model", str(self.folder / "generator.keras"))
        self._say(f"Finished: {progress}. Generate images with: {draw}")

    def steps(self, count):
        """Yield the number, from 1 to `count`, of each training step that is left in the epoch.

        At the end of each step the averages move (`average`), and the progress is shown. Every
        --checkpoint-minutes a checkpoint is saved. It holds the models and `rng`, so a training
        loop must not keep anything else from step to step.
        """
        progress = self._progress
        show = progress_bar(progress, self.arguments.epochs, count, self._devices.is_first)
        for step in range(progress.steps + 1, count + 1):
            yield step
            self.average.update()
            progress.steps = step
            progress.seconds += self._stopwatch.lap()
            show(step, progress.means())
            if step < count:
                stop = self._devices.any(bool(self._stopped_by))
                minutes = (time.monotonic() - self._last_checkpoint) / 60
                if stop or minutes >= self.arguments.checkpoint_minutes:
                    checks.check_weights(self._models, progress.epochs, self.folder)
                    self._save_checkpoint()
                    self._write_page()
                if stop:
                    raise KeyboardInterrupt
        checks.check_weights(self._models, progress.epochs, self.folder)

    def log(self, **values):
        """Record losses and accuracies of a step: any names, any number of times.

        The mean of each over the epoch goes into losses.csv and onto the page. Raises Diverged if a
        value is NaN or infinite.
        """
        where = f"step {self._progress.steps + 1} of "
        checks.check_values(values, where, self._progress.epochs, self.folder)
        self._progress.add(values)

    def save_epoch(self, images=None, titles=None, latents=None, **values):
        """Save the averaged models, a sample picture, the values, and all that --resume needs.

        Args:
            images: what the averaged generator has drawn, (n, H, W, C) in the range that `begin`
                was given; None for no picture of this epoch.
            titles: a title for each column of the picture. By default there is a column for each
                class of `sample_labels`, or ten columns.
            latents: some that the generator has learnt from, (n, latent_dim): generate.py draws
                others with their mean and covariance. None if they are from N(0, 1).
            values: numbers that are computed once per epoch; they are recorded like losses. Every
                --evaluate-every epochs, figures of the images' quality are recorded, too.
        """
        progress, quality = self._progress, {}
        known = values if latents is None else values | {"mean latent": float(np.mean(latents))}
        checks.check_values(known, "the end of ", progress.epochs, self.folder)
        epoch = progress.epochs + 1
        self._about["latents"] = None if latents is None else normal_distribution(latents)
        self._check_still_there()  # writing the picture would make the folder anew
        if self._devices.is_first:
            if images is not None:
                if titles is None and self.sample_labels is not None:
                    titles = [self._about["class_names"][label] for label in self._shown]
                folder.save_samples(self.folder, epoch, images, self._about, titles or ())
            with self._devices.one_device():
                quality = self._quality.after(epoch, self._averaged["generator"])
        self._check_still_there()
        progress.seconds += self._stopwatch.lap()
        progress.end_epoch(progress.means() | values, quality)
        self._save_results()
        self._save_checkpoint()  # after all these, since --resume relies on it alone
        self._save_again()
        self._write_page()

    def __exit__(self, kind, problem, _traceback):
        lost = self._devices and self._devices.lost(problem)
        if self._has_page:
            with contextlib.suppress(OSError):
                self._check_still_there()
                self._write_page(*page.ending(lost or problem, self._saved))
        self._cleanup.close()
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, Diverged | OSError):
            self._exit(1 if self._has_started else 2, f"error: {error_text(problem)}")
        if isinstance(problem, MemoryError | tensorflow.errors.ResourceExhaustedError):
            saved = f", with {self._saved} saved in {self.folder}" if self._has_page else ""
            smaller = "--batch-size, --image-size or --width"
            self._exit(1, f"error: out of memory{saved}; give a smaller {smaller}")
        hint = "before the training began"
        if self._has_page:
            hint = resuming.hint(self._parser.prog, self.arguments, self._saved, self._devices)
        if lost:
            self._exit(1, f"error: {lost}; stopped {hint}")
        if isinstance(problem, KeyboardInterrupt):
            self._exit(128 + (self._stopped_by or signal.SIGINT), f"stopped {hint}")

    def _exit(self, status, message):
        end(status, f"{self._parser.prog}: {message}")

    def _say(self, *lines):
        if self._devices.is_first:
            for line in lines:
                say(line)

    def _on_signal(self, number, _frame):
        if self._stopped_by:
            raise KeyboardInterrupt
        self._stopped_by = number
        warn("\nStopping after this step; press Ctrl-C again to stop at once.")

    def _lock_folder(self):
        folder.check(self.folder, self.arguments.resume or self.arguments.overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_still_there = self._cleanup.enter_context(folder.locked(self.folder))

    def _save_results(self):
        if self._devices.is_first:
            folder.save_models(self.folder / "generator.keras", self._averaged, self._about)
            folder.save_figures(self.folder, self._progress.history, self._progress.quality)

    def _save_again(self):
        """Save the models of the epoch in the checkpoint under other names, if it is one to keep.

        That is also done when a run is resumed, since the process may have been killed in between.
        So best.keras always is what the checkpoint says is the best.
        """
        progress, every = self._progress, self.arguments.keep_every
        if self._devices.is_first and progress.epochs and not progress.steps:
            found = best(progress.quality)
            if found and found[0] == progress.epochs:
                folder.save_models(self.folder / "best.keras", self._averaged, self._about)
            if every and progress.epochs % every == 0:
                path = self.folder / f"kept/epoch_{progress.epochs:04d}.keras"
                folder.save_models(path, self._averaged, self._about)

    def _save_checkpoint(self):
        self._check_still_there()
        if self._devices.is_first:
            state = {
                "run": resuming.identity(self.arguments, self._data),
                "progress": vars(self._progress),
                "rng": self.rng.bit_generator.state,
                "learning_rates": self._rates,
                "latents": self._about.get("latents"),
            }
            variables = self._models | {"average": self.average}
            path = self.folder / "checkpoint.npz"
            checkpoints.save(path, variables, folder.origin(self._parser.name) | state)
        self._saved, self._last_checkpoint = str(self._progress), time.monotonic()

    def _restore(self):
        """Restore the state of the checkpoint, if there is one; return lines about changes."""
        variables = self._models | {"average": self.average}
        state = resuming.restore(
            self.folder, variables, self._parser.name, self.arguments, self._data, self._devices
        )
        if state is None:
            return []
        self._progress = Progress.from_json(state["progress"])
        self.rng.bit_generator.state, self._saved = state["rng"], str(self._progress)
        self._about["latents"] = state.get("latents")
        self.arguments.epochs = max(self.arguments.epochs, self._progress.epochs)
        return resuming.keep_learning_rates(self._models, self._rates, state["learning_rates"])

    def _record(self):
        known = self._data, self._progress, self._device
        return resuming.record(self._parser.name, self.arguments, *known)

    def _write_page(self, *state):
        """Write run.json and index.html."""
        if self._devices.is_first:
            record = self._record()
            folder.write_record(self.folder, record)
            with folder.by_product():
                page.write(self.folder, self._parser.prog, record, self._progress, *state)
