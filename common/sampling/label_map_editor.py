"""A window for painting a label map with the mouse; it shows the image that a GauGAN draws."""

from common import UserError
from common.data import facades
from common.files import replacing
from common.sampling import label_maps
from common.sampling.explorer import ACCENT, INK, Explorer, update_image

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.widgets import TextBox
from PIL import Image

# Radii of the brushes, as shares of the side of the label map. Radius 0 paints single pixels.
BRUSHES = {"Fine": 0.0, "Medium": 0.03, "Broad": 0.08}
MAX_UNDO = 100


class LabelMapEditor(Explorer):
    """A window with a label map to paint on, and the image that the generator draws from it.

    Attributes:
        layout: the label map, uint8 (H, W), of class numbers.
        chosen: the number of the class to paint with.
        brush: the brush to paint with, a name in `BRUSHES`.
    """

    hint = "Choose a class, and paint on the label map with the mouse."
    size = 12, 6.4
    map_place = 0.02, 0.23, 0.39, 0.73
    palette_place = 0.425, 0.23, 0.13, 0.73
    image_place = 0.57, 0.23, 0.41, 0.73
    brushes_place = 0.02, 0.15, 0.4, 0.055
    file_place = 0.06, 0.07, 0.25, 0.055
    load_place = 0.32, 0.07, 0.1, 0.055
    sliders_place = 0.67, 0.14, 0.24, 0.08
    buttons_place = 0.59, 0.07, 0.39, 0.055

    def __init__(self, generator, seed=0, layout=None):
        """`layout` is the first label map, integers (H, W); None for that of a drawn facade."""
        self._shape = generator.image_shape[:2]
        layout = example_layout(self._shape[0], seed) if layout is None else self._fitted(layout)
        n_classes = len(generator.class_names)
        if layout.max() >= n_classes:  # the generator has other classes than facades have
            layout = np.zeros(self._shape, "uint8")
        self.layout = layout.copy()
        self.colours = label_maps.class_colours(generator)
        self.chosen, self.brush = min(2, n_classes - 1), "Medium"
        self._undo, self._last_point = [], None
        super().__init__(generator, seed)
        for name, action in (
            ("button_press_event", self._on_press),
            ("motion_notify_event", self._on_move),
            ("button_release_event", self._on_release),
        ):
            self.figure.canvas.mpl_connect(name, action)

    @property
    def label(self):
        return self.layout[np.newaxis]

    def undo(self, _event=None):
        """Undo the last stroke, or the loading of a file."""
        if self._undo:
            self.layout = self._undo.pop()
            self._show_map()
            self.redraw()

    def load(self, _event=None):
        """Load the label map whose path is in the text field."""
        try:
            layout = self._fitted(label_maps.read_layout(self.generator, self.file.text.strip()))
            last = len(self.generator.class_names) - 1
            if layout.max() > last:
                raise UserError(f"class {layout.max()} in it is not between 0 and {last}")
        except UserError as problem:
            return self.say(str(problem))
        self._remember()
        self.layout = layout.copy()
        self._show_map()
        self.redraw()
        self.say(f"Loaded {self.file.text.strip()}.")

    def choose_class(self, number):
        """Paint with another class from now on."""
        self.chosen = number
        self._frame.set_y(number + 0.1)
        self.figure.canvas.draw_idle()

    def choose_brush(self, name):
        """Paint with another brush from now on."""
        self.brush = name
        for brush, button in self._brushes.items():
            button.label.set(
                color=ACCENT if brush == name else INK, weight="bold" if brush == name else "normal"
            )
        self.figure.canvas.draw_idle()

    def _write(self, path):
        super()._write(path)
        map_path = path.with_name(f"{path.stem}_map.png")
        # Classes are numbered from 1, as in the CMP set. A map without any 0 is read in this way.
        image = Image.fromarray(self.layout + 1)
        image.putpalette(np.concatenate([[(0, 0, 0)], self.colours]).astype("uint8").tobytes())
        with replacing(map_path) as temporary:
            image.save(temporary)
        self.file.set_val(str(map_path))

    def _add_controls(self):
        super()._add_controls()
        self._map_axes = self._add_axes(self.map_place)
        self._map_shown = self._map_axes.imshow(self.colours[self.layout])
        self._add_palette()
        brushes = {name: lambda _event, name=name: self.choose_brush(name) for name in BRUSHES}
        buttons = self._add_buttons(self.brushes_place, {**brushes, "Undo": self.undo})
        self._brushes = dict(zip(BRUSHES, buttons, strict=False))
        self.choose_brush(self.brush)
        axes = self._add_axes(self.file_place)
        axes.set_frame_on(True)
        axes.spines[:].set_color("#dcd9d2")
        self.file = TextBox(axes, "Map ", color="white", hovercolor="white")
        for text in (self.file.label, self.file.text_disp):
            text.set(fontsize=9, parse_math=False)
        self.buttons += [*buttons, *self._add_buttons(self.load_place, {"Load": self.load})]

    def _add_palette(self):
        """Add a list of the classes, in which a click chooses one."""
        names = self.generator.class_names
        axes = self._palette = self._add_axes(self.palette_place)
        axes.set(xlim=(0, 4), ylim=(len(names), 0))
        for number, (name, colour) in enumerate(zip(names, self.colours, strict=True)):
            axes.add_patch(Rectangle((0.2, number + 0.15), 0.7, 0.7, color=colour / 255))
            axes.text(
                1.15, number + 0.5, name, va="center", fontsize=9, color=INK, parse_math=False
            )
        self._frame = axes.add_patch(
            Rectangle(
                (0.05, self.chosen + 0.1), 3.9, 0.8, fill=False, edgecolor=ACCENT, linewidth=1.5
            )
        )

    def _on_press(self, event):
        if event.button != 1:
            return
        if event.inaxes is self._palette:
            self.choose_class(int(np.clip(event.ydata, 0, len(self.colours) - 1)))
        elif event.inaxes is self._map_axes:
            self._remember()
            self._last_point = event.xdata, event.ydata
            self._on_move(event)

    def _on_move(self, event):
        if self._last_point is None or event.inaxes is not self._map_axes:
            return
        point = event.xdata, event.ydata
        radius = BRUSHES[self.brush] * max(self._shape)
        paint_line(self.layout, self._last_point, point, radius, self.chosen)
        self._last_point = point
        self._show_map()

    def _on_release(self, _event):
        if self._last_point is not None:
            self._last_point = None
            self.redraw()

    def _remember(self):
        self._undo = [*self._undo[1 - MAX_UNDO :], self.layout.copy()]

    def _show_map(self):
        update_image(self._map_shown, self.colours[self.layout])

    def _fitted(self, layout):
        return label_maps.middle_square(layout, self._shape[0], facades.NEAREST)


def paint_line(layout, start, end, radius, number):
    """Paint a line on a label map, with round ends.

    Args:
        layout: (H, W), changed in place.
        start, end: (x, y) in pixels; (0, 0) is the centre of the top left pixel.
        radius: all pixels up to this distance from the line are painted, in pixels. Those that the
            line crosses are painted in any case.
        number: the number of the class to paint.
    """
    (x, y), (to_x, to_y) = start, end
    rows, columns = np.ogrid[: layout.shape[0], : layout.shape[1]]
    along_x, along_y = to_x - x, to_y - y
    # For each pixel, the position of the nearest point of the line: 0 is the start, 1 the end.
    share = (columns - x) * along_x + (rows - y) * along_y
    share = np.clip(share / max(along_x**2 + along_y**2, 1e-9), 0, 1)
    distance = np.hypot(columns - x - share * along_x, rows - y - share * along_y)
    layout[distance <= max(radius, 0.5**0.5)] = number


def example_layout(size, seed):
    """The label map of a drawn facade, uint8 (size, size), cropped as in training."""
    layout = facades.drawn_label_map(1 + seed % 320)
    facade = facades.Facades([facades.colours(layout)], [layout], ("",), "drawn")
    return facades.centre_crops(facades.fit(facade, size), size)[1][0]
