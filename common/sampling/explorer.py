"""A window for exploring a generator, with sliders for the latent and for the classes.

It consists of matplotlib's own widgets, so it works with every window toolkit of matplotlib's, and
in a notebook with an interactive backend. Places are left, bottom, width and height, as shares of
the figure.
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
    help = "it takes a screen, and tkinter (apt install python3-tk) or pip install PyQt6; in a"
    help += " notebook, pip install ipympl and, before anything else, %matplotlib widget"
    help = "unset MPLBACKEND" if MATPLOTLIB_BACKEND else help
    raise UserError(f"matplotlib's backend {name} opens no window{reason}: {help}")


class Explorer:
    """A window with an image, and with sliders for its latent and for the shares of its classes.

    The latent is cos b (cos a z + sin a u) + sin b v. Here z, u and v are drawn from N(0, 1), and a
    and b are the angles that two sliders show. The squares of the factors of z, u and v sum up to
    1, so this is noise from N(0, 1), too, of which the generator makes a latent.

    The shares of the classes sum up to 1. When one is changed, all others are scaled to fit.

    `image` is float32 (H, W, C), drawn from `latent` (1, *latent_shape) and `label`, the second
    input of `Generator.draw` for one image, or None.
    """

    hint = "Drag a slider: the shares of all classes sum up to 1."
    size = 9.8, 6  # of the figure, inches; higher if there are many classes
    image_place, buttons_place = (0.03, 0.12, 0.49, 0.84), (0.57, 0.08, 0.41, 0.08)

    def __init__(self, generator, seed=0):
        self.generator, self._rng = generator, np.random.default_rng(seed)
        self._noise = generator.noise(3, self._rng)
        self.shares = np.eye(max(1, len(generator.class_names)))[0]
        # No toolbar, and none of matplotlib's keys for plots, such as l for a logarithmic axis.
        keys = [name for name in pyplot.rcParams if name.startswith("keymap.")]
        pyplot.rcParams.update({"toolbar": "None"} | dict.fromkeys(keys, []))
        width, height = self.size
        height = max(height, 0.3 * min(len(self.shares), MAX_SLIDERS))
        self.figure = pyplot.figure(figsize=(width, height))
        self.figure.canvas.manager.set_window_title(generator.name)
        self.figure.explorer = self  # without a reference the widgets would be deleted
        hint = self.hint if generator.label_kind else "Drag a slider."
        self._status = self.figure.text(0.03, 0.02, hint, color=FAINT, fontsize=9)
        self._status.set_parse_math(False)
        self.buttons = self._add_buttons(
            self.buttons_place, {"Another latent": self.draw_another_latent, "Save": self.save}
        )
        self._add_controls()
        self.image = generator.draw(self.latent, self.label)[0]
        # Grey images are shown inverted, dark on white, as in `plotting.save_grid`.
        self._image_shown = self._add_axes(self.image_place).imshow(
            self.image, cmap="gray_r", vmin=0, vmax=1, interpolation="bilinear"
        )

    def _add_controls(self):
        """Add a column of sliders: those of the classes, and below them those of the latent."""
        names = self.generator.class_names[:MAX_SLIDERS]
        step = min(0.06, 0.75 / (len(names) + 3))
        self.class_sliders = self._add_sliders((0.67, 0.95, 0.27, step), names, 0, 1, "%.2f")
        for number, slider in enumerate(self.class_sliders):
            slider.on_changed(lambda share, number=number: self._set_share(number, share))
        set_without_callbacks(self.class_sliders, self.shares)
        self._add_directions((0.67, 0.95 - step * (len(names) + bool(names)), 0.27, step))
        if len(self.shares) > MAX_SLIDERS:
            self.say(f"Only the first {MAX_SLIDERS} of {len(self.shares)} classes have sliders.")

    def _add_directions(self, place):
        names = "direction 1", "direction 2"
        self.directions = self._add_sliders(place, names, -90, 90, "%.0f°")
        for slider in self.directions:
            slider.on_changed(self.redraw)

    @property
    def latent(self):
        z, u, v = self._noise
        a, b = (np.radians(slider.val) for slider in self.directions)
        mixed = np.cos(b) * (np.cos(a) * z + np.sin(a) * u) + np.sin(b) * v
        return self.generator.to_latents(mixed[np.newaxis].astype("float32"))

    @property
    def label(self):
        return self.shares[np.newaxis].astype("float32") if self.generator.label_kind else None

    def redraw(self, _value=None):
        """Draw the image again, after a change of the latent or label."""
        self.image = self.generator.draw(self.latent, self.label)[0]
        update_image(self._image_shown, self.image)

    def _set_share(self, number, share):
        self.shares = with_share(self.shares, number, share)
        set_without_callbacks(self.class_sliders, self.shares)
        self.redraw()

    def draw_another_latent(self, _event=None):
        """Draw new random latents z, u and v, and move the two sliders back to 0."""
        self._noise = self.generator.noise(3, self._rng)
        set_without_callbacks(self.directions, (0, 0))
        self.redraw()

    def save(self, _event=None):
        """Save the image and its inputs, and print the command that draws it again."""
        name = f"{self.generator.name}_explored"
        paths = (default_path(f"{name}_{number}.png") for number in itertools.count(1))
        path = next(path for path in paths if not path.exists())
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

    def _add_axes(self, place, frame=None):
        """Add axes without ticks, with a frame of a colour or without any."""
        axes = self.figure.add_axes(place, frame_on=bool(frame), xticks=(), yticks=())
        axes.spines[:].set_color(frame or "none")
        axes.set_navigate(False)
        return axes

    def _add_sliders(self, place, names, low, high, text):
        """Add a slider for each name, one below the other: left, top, width, and height of each."""
        left, top, width, step = place
        sliders = []
        for row, name in enumerate(names):
            axes = self._add_axes((left, top - row * step - 0.0125, width, 0.025))
            name = name if len(name) <= 14 else f"{name[:13]}…"
            slider = Slider(axes, name, low, high, valinit=0, valfmt=text, color=ACCENT)
            slider.vline.set_visible(False)  # it would mark the initial value
            slider.poly.set_visible(low == 0)
            for label, x, colour in ((slider.label, -0.05, INK), (slider.valtext, 1.05, FAINT)):
                label.set(x=x, fontsize=9, color=colour, parse_math=False)
            sliders.append(slider)
        return sliders

    def _add_buttons(self, place, actions):
        """Add a button for each name in a dict of actions, one beside the other."""
        left, bottom, width, height = place
        each = width / len(actions)
        buttons = []
        for column, (name, action) in enumerate(actions.items()):
            axes = self._add_axes((left + column * each, bottom, each * 0.94, height), "white")
            button = Button(axes, name, color="#eceae5", hovercolor="#dcd9d2")
            button.label.set_fontsize(9)
            button.on_clicked(action)
            buttons.append(button)
        return buttons


def with_share(shares, number, share):
    """Change one share, and scale all others, or equal ones if all are 0, so that the sum is 1."""
    others = np.delete(shares, number)
    if not len(others):
        return np.ones(1)
    others = others if others.sum() > 1e-9 else np.ones(len(others))
    return np.insert(others / others.sum() * (1 - share), number, share)


def update_image(shown, pixels):
    """Replace the pixels of an image in the figure. If possible, only this image is redrawn."""
    canvas = shown.figure.canvas
    shown.set_data(pixels)
    if canvas.supports_blit:
        shown.axes.draw_artist(shown)
        canvas.blit(shown.axes.bbox)
    else:
        canvas.draw_idle()


def set_without_callbacks(sliders, values):
    """Move sliders without calling their callbacks."""
    for slider, value in zip(sliders, values, strict=False):
        slider.eventson = slider.drawon = False
        slider.set_val(value)
        slider.eventson = slider.drawon = True
