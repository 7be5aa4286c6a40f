"""A window for exploring a generator, with sliders for the latent and for the classes.

It consists of matplotlib's own widgets, so it works with every window toolkit that matplotlib
supports, and in a notebook with an interactive backend.
"""

import itertools

from common import MATPLOTLIB_BACKEND, UserError, plotting
from common.arguments import command_line
from common.data.reading import one_line
from common.files import default_path
from common.sampling import inputs

import numpy as np
from matplotlib import pyplot
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.widgets import Button, Slider

INK, FAINT, ACCENT = "#1d1d1f", "#65656b", "#2f5fd0"
MAX_SLIDERS = 30


def check_window():
    """Raise UserError if matplotlib cannot open a window. Its text says what to do."""
    name, reason = MATPLOTLIB_BACKEND, ""
    try:
        name = plotting.use_backend_for_windows()
        without_window = [*backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE), "inline"]
        if name.rpartition("backend_")[2] not in without_window:
            return
    except Exception as problem:  # the toolkit is not installed, or there is no display
        reason = f" ({one_line(problem)})"
    help = (
        "it takes a screen (or ssh -X), and a toolkit (pip install PyQt6, apt install python3-tk); "
        "in a notebook, pip install ipympl and, before anything else, %matplotlib widget"
    )
    help = "unset MPLBACKEND" if MATPLOTLIB_BACKEND else help
    raise UserError(f"matplotlib's backend {name} opens no window{reason}: {help}")


class Explorer:
    """A window for a generator without labels: an image and two sliders that change its latent.

    The latent is cos b (cos a z + sin a u) + sin b v. Here z, u and v are drawn from N(0, 1), and a
    and b are the angles that the sliders show. The squares of the factors of z, u and v sum up to
    1, so the latent, too, is distributed as N(0, 1), like those that the generator was trained on.

    Attributes:
        figure: the matplotlib figure.
        latent: float32 (1, *latent_shape), at the present position of the sliders.
        image: float32 (H, W, C) in [0, 1], drawn from it.
    """

    hint = "Drag a slider."
    size = 7.2, 5.6  # of the figure, inches
    image_place = 0.04, 0.16, 0.5, 0.8  # left, bottom, width, height; shares of the figure
    sliders_place = 0.7, 0.78, 0.22, 0.14
    buttons_place = 0.58, 0.18, 0.38, 0.08

    def __init__(self, generator, seed=0):
        self.generator = generator
        self._rng = np.random.default_rng(seed)
        self._latents = generator.random_latents(3, self._rng)
        # No toolbar, and none of matplotlib's keys for plots, such as l for a logarithmic axis.
        keys = [name for name in pyplot.rcParams if name.startswith("keymap.")]
        pyplot.rcParams.update({"toolbar": "None"} | dict.fromkeys(keys, []))
        self.figure = pyplot.figure(figsize=self.size)
        self.figure.canvas.manager.set_window_title(generator.name)
        self.figure.explorer = self  # without a reference the widgets would be deleted
        self._status = self.figure.text(0.03, 0.02, self.hint, color=FAINT, fontsize=9)
        self._status.set_parse_math(False)
        self._add_controls()
        self.image = generator.draw(self.latent, self.label)[0]
        axes = self._add_axes(self.image_place)
        # Grey images are shown inverted, dark on white, as in `plotting.save_grid`.
        self._image_shown = axes.imshow(
            self.image, cmap="gray_r", vmin=0, vmax=1, interpolation="bilinear"
        )

    @property
    def latent(self):
        z, u, v = self._latents
        a, b = (np.radians(slider.val) for slider in self.directions)
        mixed = np.cos(b) * (np.cos(a) * z + np.sin(a) * u) + np.sin(b) * v
        return mixed[np.newaxis].astype("float32")

    label = None  # the second input of the generator, for one image, if it takes one

    def redraw(self, _value=None):
        """Draw the image again, after a change of the latent or label."""
        self.image = self.generator.draw(self.latent, self.label)[0]
        update_image(self._image_shown, self.image)

    def draw_another_latent(self, _event=None):
        """Draw new random latents z, u and v, and move the two sliders back to 0."""
        self._latents = self.generator.random_latents(3, self._rng)
        for slider in self.directions:
            set_without_callbacks(slider, 0)
        self.redraw()

    def save(self, _event=None):
        """Save the image and its inputs, and print the command that draws it again."""
        path = unused_path(f"{self.generator.name}_explored", ".png")
        try:
            self._write(path)
        except OSError as problem:
            return self.say(f"cannot write {problem.filename}: {problem.strerror}")
        options = ["--model", str(self.generator.path), "--latent", str(path.with_suffix(".npz"))]
        print(command_line("generate.py", *options), flush=True)
        self.say(f"Saved {path}; the command in the terminal draws it again.")

    def _write(self, path):
        plotting.save_grid(self.image[np.newaxis], path, columns=1)
        inputs.save(path.with_suffix(".npz"), self.latent, self.label)

    def say(self, text):
        """Show a line of text at the bottom of the window."""
        self._status.set_text(text)
        self.figure.canvas.draw_idle()

    def _add_controls(self):
        self.directions = self._add_sliders(
            self.sliders_place, ("direction 1", "direction 2"), -90, 90, "%.0f°"
        )
        for slider in self.directions:
            slider.on_changed(self.redraw)
        self.buttons = self._add_buttons(
            self.buttons_place, {"Another latent": self.draw_another_latent, "Save": self.save}
        )

    def _add_axes(self, place):
        axes = self.figure.add_axes(place, frame_on=False, xticks=(), yticks=())
        axes.set_navigate(False)
        return axes

    def _add_sliders(self, place, names, low, high, text):
        left, bottom, width, height = place
        step, thickness = height / len(names), 0.15 / self.size[1]
        sliders = []
        for row, name in enumerate(names):
            middle = bottom + height - (row + 0.5) * step
            axes = self._add_axes((left, middle - thickness / 2, width, thickness))
            name = name if len(name) <= 14 else f"{name[:13]}…"
            slider = Slider(axes, name, low, high, valinit=0, valfmt=text, color=ACCENT)
            slider.vline.set_visible(False)  # it would mark the initial value
            slider.poly.set_visible(low == 0)
            for label, x, colour in ((slider.label, -0.05, INK), (slider.valtext, 1.05, FAINT)):
                label.set(x=x, fontsize=9, color=colour, parse_math=False)
            sliders.append(slider)
        return sliders

    def _add_buttons(self, place, actions):
        left, bottom, width, height = place
        each = width / len(actions)
        buttons = []
        for column, (name, action) in enumerate(actions.items()):
            axes = self._add_axes((left + column * each, bottom, each * 0.94, height))
            axes.set_frame_on(True)
            axes.spines[:].set_visible(False)
            button = Button(axes, name, color="#eceae5", hovercolor="#dcd9d2")
            button.label.set_fontsize(9)
            button.on_clicked(action)
            buttons.append(button)
        return buttons


class ClassExplorer(Explorer):
    """A window for a generator with class labels, which has a slider for the share of each class.

    The shares sum up to 1. When one of them is changed, all others are scaled to fit.

    Attributes:
        shares: the share of each class, float64 (classes,).
    """

    hint = "Drag the slider of a class: the shares of all classes sum up to 1."
    image_place = 0.03, 0.12, 0.49, 0.84
    sliders_place = 0.67, 0.2, 0.27, 0.1
    buttons_place = 0.57, 0.08, 0.41, 0.08

    def __init__(self, generator, seed=0):
        self._shown = generator.class_names[:MAX_SLIDERS]
        self.size = 9.8, max(6, 0.3 * len(self._shown))
        self.shares = np.eye(len(generator.class_names))[0]
        super().__init__(generator, seed)

    def _add_controls(self):
        super()._add_controls()
        left, _, width, _ = self.sliders_place
        height = min(0.6, 0.07 * len(self._shown))
        place = left, 0.96 - height, width, height
        self.class_sliders = self._add_sliders(place, self._shown, 0, 1, "%.2f")
        for number, slider in enumerate(self.class_sliders):
            slider.on_changed(lambda share, number=number: self._set_share(number, share))
        self._show_shares()
        if len(self.shares) > MAX_SLIDERS:
            self.say(f"Only the first {MAX_SLIDERS} of {len(self.shares)} classes have sliders.")

    @property
    def label(self):
        return self.shares[np.newaxis].astype("float32")

    def _set_share(self, number, share):
        self.shares = with_share(self.shares, number, share)
        self._show_shares()
        self.redraw()

    def _show_shares(self):
        for slider, share in zip(self.class_sliders, self.shares, strict=False):
            set_without_callbacks(slider, share)


def with_share(shares, number, share):
    """Change one of the shares, and scale all others so that the sum is 1 again.

    If all others are 0, they get equal shares.
    """
    others = np.delete(shares, number)
    if not len(others):
        return np.ones(1)
    others = others / others.sum() if others.sum() > 1e-9 else np.full(len(others), 1 / len(others))
    return np.insert(others * (1 - share), number, share)


def update_image(shown, pixels):
    """Replace the pixels of an image in the figure. If possible, only this image is redrawn."""
    canvas = shown.figure.canvas
    shown.set_data(pixels)
    if canvas.supports_blit:
        shown.axes.draw_artist(shown)
        canvas.blit(shown.axes.bbox)
    else:
        canvas.draw_idle()


def set_without_callbacks(slider, value):
    """Move a slider without calling its callbacks."""
    slider.eventson = slider.drawon = False
    slider.set_val(value)
    slider.eventson = slider.drawon = True


def unused_path(name, suffix):
    """A path in generated/ that does not exist yet, with the first free number."""
    paths = (default_path(f"{name}_{number}{suffix}") for number in itertools.count(1))
    return next(path for path in paths if not path.exists())
