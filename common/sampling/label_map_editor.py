"""A window for painting a label map with the mouse; it shows the image that a GauGAN draws."""

from common import UserError
from common.data import facades
from common.files import replacing
from common.sampling import label_maps
from common.sampling.explorer import ACCENT, Explorer, update_image

import numpy as np
from matplotlib.widgets import RadioButtons, TextBox
from PIL import Image

# Radii of the brushes, as shares of the side of the label map. Radius 0 paints single pixels.
BRUSHES = {"Fine": 0.0, "Medium": 0.03, "Broad": 0.08}


class LabelMapEditor(Explorer):
    """A window with `layout`, a label map (H, W) to paint on, and the image drawn from it."""

    hint = "Choose a class, and paint on the label map with the mouse."
    size = 12, 6.4
    image_place, buttons_place = (0.57, 0.23, 0.41, 0.73), (0.59, 0.07, 0.39, 0.055)

    def __init__(self, generator, seed=0, layout=None, layout_from=None):
        """Begin with `layout`, or with that of a drawn facade.

        `layout_from` is the number of the first class in label maps that are loaded, or None.
        """
        shape, n_classes = generator.image_shape[:2], len(generator.class_names)
        layout = example_layout(shape[0], seed) if layout is None else layout
        if layout.max() >= n_classes:  # the generator has other classes than facades have
            layout = np.zeros(shape, "uint8")
        self.layout, self._layout_from = layout.copy(), layout_from
        self.colours = label_maps.class_colours(generator)
        self._undo, self._last_point = [], None
        super().__init__(generator, seed)

    @property
    def label(self):
        return self.layout[np.newaxis]

    def undo(self, _event=None):
        """Undo the last stroke, or the loading of a file."""
        if self._undo:
            self._replace(self._undo.pop())

    def _replace(self, layout):
        self.layout = layout
        update_image(self._map_shown, self.colours[layout])
        self.redraw()

    def load(self, _event=None):
        """Load the label map whose path is in the text field."""
        path = self.file.text.strip()
        try:
            layout = label_maps.read(self.generator, path, self._layout_from)
        except UserError as problem:
            return self.say(str(problem))
        self._undo.append(self.layout)
        self._replace(layout.copy())
        self.say(f"Loaded {path}.")

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
        self._map_shown = self._add_axes((0.02, 0.23, 0.39, 0.73)).imshow(self.colours[self.layout])
        names = self.generator.class_names
        self.palette = self._add_choice((0.425, 0.32, 0.13, 0.64), names, min(2, len(names) - 1))
        for label, colour in zip(self.palette.labels, self.colours / 255, strict=True):
            label.axes.scatter(0.3, label.get_position()[1], 100, [colour], marker="s")
            label.set_x(0.4)
        self.brushes = self._add_choice((0.425, 0.14, 0.13, 0.17), list(BRUSHES), 1)
        self._add_directions((0.67, 0.2, 0.24, 0.04))
        axes = self._add_axes((0.06, 0.07, 0.25, 0.055), "#dcd9d2")
        self.file = TextBox(axes, "Map ", color="white", hovercolor="white")
        for text in (self.file.label, self.file.text_disp):
            text.set(fontsize=9, parse_math=False)
        actions = {"Load": self.load, "Undo": self.undo}
        self.buttons += self._add_buttons((0.32, 0.07, 0.2, 0.055), actions)
        self.figure.canvas.mpl_connect("button_press_event", self._on_press)
        self.figure.canvas.mpl_connect("motion_notify_event", self._on_move)
        self.figure.canvas.mpl_connect("button_release_event", self._on_release)

    def _add_choice(self, place, names, active):
        axes = self._add_axes(place)
        choice = RadioButtons(axes, names, active, activecolor=ACCENT)
        axes.set(xlim=(0, 1), ylim=(0, 1), autoscale_on=False)
        for label in choice.labels:
            label.set(fontsize=9, parse_math=False)
        return choice

    def _on_press(self, event):
        if event.button == 1 and event.inaxes is self._map_shown.axes:
            self._undo.append(self.layout.copy())
            self._last_point = event.xdata, event.ydata
            self._on_move(event)

    def _on_move(self, event):
        if self._last_point is None or event.inaxes is not self._map_shown.axes:
            return
        point = event.xdata, event.ydata
        radius = BRUSHES[self.brushes.value_selected] * max(self.layout.shape)
        chosen = self.generator.class_names.index(self.palette.value_selected)
        paint_line(self.layout, self._last_point, point, radius, chosen)
        self._last_point = point
        update_image(self._map_shown, self.colours[self.layout])

    def _on_release(self, _event):
        if self._last_point is not None:
            self._last_point = None
            self.redraw()


def paint_line(layout, start, end, radius, number):
    """Paint a line with round ends on a label map, (H, W), in place, with the number of a class.

    `start` and `end` are (x, y) in pixels, from the centre of the top left one. All pixels up to
    `radius` from the line are painted, and those that it crosses in any case.
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
    facade = facades.Facades([facades.colours(layout)], [layout], "drawn")
    return facades.centre_crops(facades.fit(facade, size), size)[1][0]
