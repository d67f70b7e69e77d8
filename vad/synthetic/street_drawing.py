"""How the demo street looks: its scenery, and one picture of it with the figures that are in it.

Lengths on the ground are metres; a scale is pixels a metre: the ground at scale s lies at row HORIZON + CAMERA * s and
at depth FOCAL / s. Colours are RGB, 0..255, float32 until a picture is done.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.images.decode import Image
from vad.synthetic.street_figures import Colour, Figure, Pixels, Sprite, Thing, draw_figure, draw_thing, palette

WIDTH, HEIGHT = 640, 360
HORIZON, CAMERA, FOCAL = 130.0, 1.5, 900.0

_FACADE, _SHADE = 208, 226
_PILLAR_SCALE = 76.0
_CLOUD_TRAVEL, _GRAIN_TRAVEL = 320, 64


@dataclass(frozen=True)
class Scenery:
    """What a video's frames have in common: the ground and facade, pillars in front of them, textures."""

    background: Pixels
    pillars: tuple[Sprite, ...]
    cloth: Pixels
    light: Pixels
    grain: Pixels


def paint(scenery: Scenery, figures: Sequence[Figure], things: Sequence[Thing]) -> tuple[Pixels, Image]:
    """Return the scene, float32 (HEIGHT, WIDTH, 3), and the mask of its visible anomalies, 0 or 1."""
    canvas = scenery.background.copy()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for figure in figures:
        _paste(canvas, mask, _shadow(figure), None)
    layers = [(_PILLAR_SCALE, pillar, False) for pillar in scenery.pillars]
    layers += [(figure.scale, draw_figure(figure, scenery.cloth), figure.anomalous) for figure in figures]
    layers += [(thing.scale, draw_thing(thing, scenery.cloth), True) for thing in things]
    for _, sprite, anomalous in sorted(layers, key=lambda layer: layer[0]):
        _paste(canvas, mask, sprite, anomalous)
    return canvas, mask


def photograph(scenery: Scenery, canvas: Pixels, seconds: float, generator: np.random.Generator) -> Image:
    """Return the camera's image of the scene, RGB: `seconds` move the clouds and the light, `generator` places the grain."""
    drift = int(_CLOUD_TRAVEL / 2 * (1 + math.sin(0.11 * seconds)))
    top, left = generator.integers(0, _GRAIN_TRAVEL, 2)
    image = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6), np.float32)
    image *= scenery.light[:, drift : drift + WIDTH] + np.float32(0.02 * math.sin(0.9 * seconds))
    image += scenery.grain[top : top + HEIGHT, left : left + WIDTH]
    return np.asarray(np.clip(image, 0, 255, out=image), np.uint8)


def _paste(canvas: Pixels, mask: Image, sprite: Sprite, anomalous: bool | None) -> None:
    """Lay a sprite over the canvas; what shows it is anomalous or not from here on, or, with None, as it was."""
    top, left = max(0, sprite.top), max(0, sprite.left)
    part = sprite.pixels[top - sprite.top : HEIGHT - sprite.top, left - sprite.left : WIDTH - sprite.left]
    if top >= HEIGHT or left >= WIDTH or not part.size:
        return
    place = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
    alpha = cv2.extractChannel(part, 3)
    below = canvas[place]
    # OpenCV spreads alpha over channels: NumPy's broadcasting to a last axis of 3 is many times slower.
    below -= below * cv2.cvtColor(alpha * np.float32(1 / 255), cv2.COLOR_GRAY2RGB)
    below += cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)
    if anomalous is not None:
        mask[place][alpha > 127] = anomalous


def _shadow(figure: Figure) -> Sprite:
    """A soft dark ellipse on the ground, longer away from the light, which comes from the left."""
    size = figure.scale * figure.look.height
    high, wide = max(4, int(0.12 * size)), max(8, int(0.8 * size))
    y, x = np.linspace(-1, 1, high)[:, None], np.linspace(-1, 1, wide)[None]
    sheet = np.zeros((high, wide, 4), np.float32)
    sheet[..., 3] = 140 * figure.light * np.clip(1 - x**2 - y**2, 0, 1)
    return Sprite(sheet, int(figure.x - 0.4 * wide), int(figure.y - 0.55 * high))


def draw_scenery(generator: np.random.Generator) -> Scenery:
    """The street without anybody in it."""
    ground, facade = _ground(generator), _facade(generator)
    high = np.vstack([facade, ground[facade.shape[0] :]])
    background = np.asarray(cv2.resize(high, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.float32)
    light = 1 + 0.05 * _noise(generator, (HEIGHT, WIDTH + _CLOUD_TRAVEL), (120, 220))
    cloth = 1 + 0.10 * _noise(generator, (720, 720), (5, 13)) + 0.05 * _noise(generator, (720, 720), (2,))
    shape = HEIGHT + _GRAIN_TRAVEL, WIDTH + _GRAIN_TRAVEL, 3
    grain = 0.5 + 1.6 * generator.standard_normal(shape, np.float32)
    spread = np.asarray(cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), np.float32)
    return Scenery(np.clip(background, 0, 255), _pillars(generator), cloth, spread, grain)


def _noise(generator: np.random.Generator, shape: tuple[int, int], sizes: Sequence[float]) -> Pixels:
    """Smooth noise of about unit variance with blobs of each of these sizes in pixels."""
    total = np.zeros(shape, np.float32)
    for size in sizes:
        coarse = generator.standard_normal((int(shape[0] / size) + 3, int(shape[1] / size) + 3), np.float32)
        total += cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return total / np.float32(math.sqrt(len(sizes)))


def _mix(image: Pixels, colour: Colour, share: NDArray[np.floating]) -> None:
    image += (np.asarray(colour, np.float32) - image) * share[..., None]


def _ground(generator: np.random.Generator) -> Pixels:
    """The floor under the building, brick paving, a kerb and the lawn, at twice the resolution."""
    shape = 2 * HEIGHT, 2 * WIDTH
    row = np.arange(shape[0], dtype=np.float32)[:, None] / 2
    scale = np.maximum(row - HORIZON, 1) / CAMERA
    x = (np.arange(shape[1], dtype=np.float32)[None] / 2 - WIDTH / 2) / scale
    depth = np.broadcast_to(FOCAL / scale, x.shape)

    slanted = (depth < 7.95) | (x > 1.9 + 0.25 * (depth - 8))
    along = np.where(slanted, 0.707 * (x + depth), x)
    across = np.where(slanted, 0.707 * (x - depth), depth)
    course = np.floor(across / 0.22)
    shifted = along / 0.44 + 0.5 * (course % 2)
    tones = generator.standard_normal((64, 64)).astype(np.float32)
    tone = tones[course.astype(int) % 64, np.floor(shifted).astype(int) % 64]
    from_joint = [np.abs(bricks - np.rint(bricks)) for bricks in (across / 0.22, shifted)]
    joint = np.minimum(from_joint[0] * 0.22, from_joint[1] * 0.44)
    image = np.full((*shape, 3), (158, 153, 147), np.float32)
    # Far away the bricks are finer than pixels, so their contrast fades as a lens would have it.
    image *= 1 + 0.045 * (tone * np.clip((scale - 50) / 60, 0, 1))[..., None]
    _mix(image, (112, 107, 103), np.clip(1.3 - joint / 0.012, 0, 1) * np.clip((scale - 50) / 70, 0, 1))
    image *= 1 + 0.04 * _noise(generator, shape, (3, 40, 160))[..., None]

    edge = 1.55 - 0.46 * (8 - depth) + 0.02 * _noise(generator, shape, (50,))
    lawn = (depth < 7.9) & (x < edge)
    kerb = (depth < 8.06) & (x < edge + 0.10) & ~lawn
    _mix(image, (196, 194, 188), kerb.astype(np.float32))
    grass = np.full((*shape, 3), (134, 132, 82), np.float32)
    _mix(grass, (166, 152, 104), np.clip(0.4 + 0.5 * _noise(generator, shape, (30, 90)), 0, 1))
    grass *= 1 + 0.11 * _noise(generator, shape, (2, 4, 9))[..., None]
    _mix(image, (0, 0, 0), 0.25 * ((depth < 7.93) & (depth > 7.86) & (x < edge)))
    image = np.where(lawn[..., None], grass, image)
    for _ in range(70):
        place = (int(generator.uniform(0, shape[1])), int(generator.uniform(560, 715)))
        if lawn[place[1], place[0]] or generator.random() < 0.15:
            size = int(generator.integers(2, 7)), int(generator.integers(1, 4))
            colour = (176, 138, 58) if generator.random() < 0.3 else (188, 178, 150)
            cv2.ellipse(image, place, size, int(generator.integers(0, 180)), 0, 360, colour, cv2.FILLED, cv2.LINE_AA)

    # Under the roof it is dark; its edge on the floor is soft.
    image *= (0.42 + 0.29 + 0.29 * np.tanh((row - _SHADE) / 5))[..., None]
    return image


def _rectangles(text: str) -> list[tuple[int, int, int, int, Colour]]:
    """Left, top, right, bottom in pixels of the frame, and a colour, of each."""
    rows = [part.split() for part in text.split(",")]
    return [(int(a), int(b), int(c), int(d), palette(colour)[0]) for a, b, c, d, colour in rows]


# Doors, panes and panels of the facade, and the notice on a pillar.
_PANELS = _rectangles("""
    0 36 640 208 2e343e,  0 60 92 208 282c2a,  96 40 120 208 3a3e46,  176 62 236 198 607496,
    184 70 206 150 788cac,  240 44 288 208 9e8a6a,  290 50 352 208 686c76,  300 60 344 128 8890a0,
    300 136 344 196 545862,  384 44 416 208 968260,  418 40 492 208 262c3e,  500 54 516 208 786442,
    540 64 596 206 40382a,  548 72 588 204 968462,  600 44 640 208 343c50,  612 96 632 126 969ca6,
    20 52 92 66 96968c,  76 54 90 64 be2820,  434 120 452 146 aaacb0
""")
_NOTICE = _rectangles("""
    144 114 179 121 5a6e8c,  145 125 159 141 788c78,  163 125 178 135 aa826e,  163 139 178 157 6e6860,
    145 145 159 157 969eaa
""")


def _facade(generator: np.random.Generator) -> Pixels:
    """What lies under the roof and the roof's beams, at twice the resolution."""
    shape = 2 * _FACADE, 2 * WIDTH
    image = np.zeros((*shape, 3), np.float32)
    for left, top, right, bottom, colour in _PANELS:
        cv2.rectangle(image, (2 * left, 2 * top), (2 * right - 1, 2 * bottom - 1), colour, cv2.FILLED)
    for step in range(14):
        left, top = 6 * step, 2 * (196 - 9 * step)
        cv2.rectangle(image, (0, top), (150 - left, top + 5), (92, 86, 72), cv2.FILLED)
    for line in range(300, 344, 6):
        cv2.line(image, (2 * line, 120), (2 * line, 256), (92, 98, 112), 2, cv2.LINE_AA)
    for line in range(176, 236, 20):
        cv2.line(image, (2 * line, 124), (2 * line, 396), (70, 86, 116), 3, cv2.LINE_AA)
    cv2.line(image, (40, 190), (170, 330), (196, 190, 176), 4, cv2.LINE_AA)
    image *= 1 + 0.07 * _noise(generator, shape, (3, 12, 70))[..., None]
    image *= np.linspace(0.75, 1.08, shape[0], dtype=np.float32)[:, None, None]

    image[:72] = (60, 64, 70)
    for x, wide in ((30, 70), (230, 90), (450, 90), (588, 50)):
        cv2.rectangle(image, (2 * x, 66), (2 * (x + wide), 72), (238, 236, 220), cv2.FILLED)
    for top, high, colour in ((24, 34, (196, 202, 208)), (0, 8, (150, 156, 162))):
        shade = np.sin(np.linspace(0.5, 2.9, high, dtype=np.float32))[:, None, None]
        image[top : top + high] = np.asarray(colour, np.float32) * (0.55 + 0.45 * shade)
    for start, end in (((230, 40), (320, 0)), ((410, 40), (320, 0)), ((900, 40), (1010, 0)), ((1130, 40), (1040, 0))):
        cv2.line(image, start, end, (176, 182, 188), 14, cv2.LINE_AA)
    return image


def _pillars(generator: np.random.Generator) -> tuple[Sprite, ...]:
    """Two steel pillars, with a notice on one, that stand between the walkers and the building."""
    sheet = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    foot = int(HORIZON + CAMERA * _PILLAR_SCALE)
    for left, right in ((152, 173), (515, 539)):
        round_shade = 0.62 + 0.38 * np.sin(np.linspace(0.5, 3.0, right - left, dtype=np.float32))
        sheet[:foot, left:right, :3] = np.asarray((190, 196, 204), np.float32) * round_shade[:, None]
        sheet[:foot, left:right, 3] = 255
        sheet[foot - 5 : foot, left - 3 : right + 3] = (96, 96, 96, 255)
    sheet[110:162, 140:183] = (206, 212, 216, 255)
    for left, top, right, bottom, colour in _NOTICE:
        sheet[top:bottom, left:right, :3] = colour
    sheet[:, :, :3] *= 1 + 0.02 * generator.standard_normal((HEIGHT, 1, 1), np.float32)
    return tuple(Sprite(sheet[: foot + 1, left:right], left, 0) for left, right in ((136, 187), (510, 544)))
