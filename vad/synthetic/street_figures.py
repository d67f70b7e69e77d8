"""The demo street's figures: people that walk, run, ride or throw, and what they throw, as sprites.

A body is a skeleton of points (forward, up) in units of its height with the foot at (0, 0), which a
heading turns and a pen draws at twice the frame's resolution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Act = Literal["walk", "run", "stand", "throw", "cycle"]
Point = tuple[float, float]
Pixels = NDArray[np.float32]

_FINE, _BITS = 2, 4
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * math.pi, 40)), np.sin(np.linspace(0, 2 * math.pi, 40))], 1)


@dataclass(frozen=True)
class Look:
    """A person: height in metres, and the colours worn."""

    height: float
    coat: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    bag: Colour | None = None


@dataclass(frozen=True)
class Figure:
    """A person on screen: the foot's pixel, pixels a metre there, and the heading (0 right, pi/2 to the camera).

    `phase` is where the step is, in radians; `blur` how far it moves, in pixels, while the shutter is open.
    """

    look: Look
    act: Act
    x: float
    y: float
    scale: float
    heading: float = 0.0
    phase: float = 0.0
    light: float = 1.0
    blur: float = 0.0
    anomalous: bool = False


@dataclass(frozen=True)
class Thing:
    """What flies: a polygon of one colour, in pixels, at the depth of `scale`. It is always anomalous."""

    corners: tuple[Point, ...]
    colour: Colour
    scale: float


@dataclass(frozen=True)
class Sprite:
    """A picture to paste at (left, top): float32 (h, w, 4), RGB times alpha, and alpha, all 0..255."""

    pixels: Pixels
    left: int
    top: int


@dataclass(frozen=True)
class _Gait:
    """Amplitudes in radians: thighs, knees, lean of the trunk, elbows, upper arms; and how high it leaps."""

    thigh: float
    knee: float
    lean: float
    elbow: float
    arm: float
    leap: float = 0.0


@dataclass(frozen=True)
class _Skeleton:
    """Points (forward, up) in body heights. A leg is knee, ankle, toe; an arm is elbow, hand."""

    hip: Point
    neck: Point
    head: Point
    legs: tuple[tuple[Point, Point, Point], ...]
    arms: tuple[tuple[Point, Point], ...]


_GAITS: dict[Act, _Gait] = {
    "walk": _Gait(0.42, 0.75, 0.04, 0.25, 0.40),
    "run": _Gait(0.90, 1.60, 0.30, 1.50, 0.95, 0.04),
    "stand": _Gait(0.06, 0.05, 0.00, 0.20, 0.05),
    "throw": _Gait(0.12, 0.05, -0.08, 0.20, 0.05),
    "cycle": _Gait(0.00, 0.00, 0.55, 0.30, 0.00),
}
# How far a figure reaches to each side of its foot, above and below it.
_REACH: dict[Act, tuple[float, float, float]] = {
    "walk": (0.36, 1.04, 0.06),
    "run": (0.60, 1.08, 0.06),
    "stand": (0.30, 1.04, 0.06),
    "throw": (0.36, 1.34, 0.06),
    "cycle": (0.56, 1.08, 0.06),
}
_THIGH, _SHANK, _TRUNK, _UPPER, _FORE = 0.245, 0.245, 0.31, 0.165, 0.15
_HIPS, _SHOULDERS = 0.042, 0.098

# The bicycle, in heights of its rider.
_WHEEL, _AXLE, _CRANK = 0.19, 0.30, 0.075
_SADDLE: Point = (-0.10, 0.545)
_PEDALS: Point = (0.0, 0.185)
_GRIP: Point = (0.25, 0.60)
_STEEL: Colour = (40, 42, 48)


def draw_figure(figure: Figure, cloth: Pixels) -> Sprite:
    """The figure as a sprite; `cloth` is a brightness texture of at least its size."""
    look, bones = figure.look, _skeleton(figure)
    pen = _Pen(figure.x, figure.y, figure.scale * look.height, _REACH[figure.act])
    along, across = math.cos(figure.heading), -math.sin(figure.heading)

    def flat(point: Point, sideways: float = 0.0) -> Point:
        return point[0] * along + sideways * across, point[1]

    # The body's left side, number 0, is the far one where it goes to the right.
    far, near = (0, 1) if along >= 0 else (1, 0)
    if figure.act == "cycle":
        _draw_bicycle(pen, along)
    _draw_arm(pen, bones, far, flat, look, 0.75)
    for side, tone in ((far, 0.75), (near, 1.0)):
        out = _HIPS if side == 0 else -_HIPS
        hip, knee, ankle, toe = (flat(point, out) for point in (bones.hip, *bones.legs[side]))
        pen.limb(hip, knee, 0.052, 0.038, _dim(look.trousers, tone))
        pen.limb(knee, ankle, 0.038, 0.026, _dim(look.trousers, tone))
        pen.limb(ankle, toe, 0.024, 0.017, _dim(look.shoes, tone))
    hip, neck, head = flat(bones.hip), flat(bones.neck), flat(bones.head)
    if look.bag:
        back = hip[0] - 0.09 * along, hip[1] + 0.21
        pen.limb(back, (back[0], back[1] - 0.13), 0.058, 0.058, look.bag)
    chest, waist = 0.070 * abs(along) + 0.108 * abs(across), 0.062 * abs(along) + 0.084 * abs(across)
    right = [(hip, -0.06, waist), (hip, 0.08, waist), (neck, -0.07, chest), (neck, 0.0, 0.55 * chest)]
    left = [(joint, up, -out) for joint, up, out in reversed(right)]
    pen.polygon([(joint[0] + out, joint[1] + up) for joint, up, out in (*right, *left)], look.coat)
    pen.limb(neck, head, 0.034, 0.030, _dim(look.skin, 0.85))
    pen.limb((head[0], head[1] + 0.018), (head[0] + 0.006 * along, head[1] - 0.026), 0.054, 0.042, look.skin)
    crown = head[0] - 0.016 * along
    pen.limb((crown, head[1] + 0.040), (crown - 0.020 * along, head[1] + 0.020), 0.047, 0.042, look.hair)
    _draw_arm(pen, bones, near, flat, look, 0.92)
    return pen.sprite(cloth, figure.light, figure.blur)


def draw_thing(thing: Thing, cloth: Pixels) -> Sprite:
    """What flies, as a sprite."""
    x, y = np.mean(thing.corners, 0).tolist()
    reach = max(math.dist(corner, (x, y)) for corner in thing.corners) + 2
    pen = _Pen(x, y, 1.0, (reach, reach, reach))
    pen.polygon([(cx - x, y - cy) for cx, cy in thing.corners], thing.colour)
    return pen.sprite(cloth, 1.0, 3.0)


def hand(figure: Figure) -> Point:
    """Where a figure's throwing hand is, in pixels."""
    forward, up = _skeleton(figure).arms[0][1]
    size = figure.scale * figure.look.height
    return figure.x + forward * math.cos(figure.heading) * size, figure.y - up * size


def _skeleton(figure: Figure) -> _Skeleton:
    gait, riding = _GAITS[figure.act], figure.act == "cycle"
    hip = _SADDLE if riding else (0.0, 0.0)
    phases = (figure.phase, figure.phase + math.pi)
    legs = [_pedal(hip, phase) if riding else _step(gait, phase) for phase in phases]
    if not riding:
        # The lower foot stands on the ground, so the body bobs as bodies do.
        lift = 0.02 - min(min(ankle[1], toe[1]) for _, ankle, toe in legs) + gait.leap * abs(math.cos(figure.phase))
        hip = (0.0, lift)
        legs = [((a[0], a[1] + lift), (b[0], b[1] + lift), (c[0], c[1] + lift)) for a, b, c in legs]
    neck = _swing(hip, math.pi - gait.lean, _TRUNK)
    head = _swing(neck, math.pi - 0.6 * gait.lean - 0.1, 0.095)
    shoulder = _swing(neck, -gait.lean, 0.035)
    arms = []
    for side, phase in enumerate(phases):
        upper = -gait.arm * math.sin(phase) + gait.lean / 2
        if figure.act == "throw" and side == 0:
            upper = 2.3 + 0.6 * math.sin(figure.phase)
        elbow = _swing(shoulder, upper, _UPPER)
        arms.append((elbow, _swing(elbow, upper + gait.elbow, _FORE)))
    if riding:
        middle = (shoulder[0] + _GRIP[0]) / 2, (shoulder[1] + _GRIP[1]) / 2 - 0.02
        arms = [(middle, _GRIP), (middle, _GRIP)]
    return _Skeleton(hip, neck, head, tuple(legs), tuple(arms))


def _swing(start: Point, angle: float, length: float) -> Point:
    """The end of a bone that hangs from `start`, `angle` radians forward of straight down."""
    return start[0] + length * math.sin(angle), start[1] - length * math.cos(angle)


def _step(gait: _Gait, phase: float) -> tuple[Point, Point, Point]:
    """A leg that hangs from (0, 0); its knee bends while the thigh swings forward."""
    thigh = gait.thigh * math.sin(phase) + gait.lean / 2
    shank = thigh - 0.08 - gait.knee * max(0.0, math.cos(phase))
    knee = _swing((0.0, 0.0), thigh, _THIGH)
    ankle = _swing(knee, shank, _SHANK)
    return knee, ankle, _swing(ankle, math.pi / 2 + 0.7 * shank - 0.2, 0.085)


def _pedal(hip: Point, phase: float) -> tuple[Point, Point, Point]:
    """A leg from the saddle to a pedal, its knee bent forward (the law of cosines)."""
    sole = _PEDALS[0] + _CRANK * math.sin(phase), _PEDALS[1] + _CRANK * math.cos(phase)
    ankle = sole[0] - 0.03, sole[1] + 0.04
    reach = min(math.dist(hip, ankle), 0.999 * (_THIGH + _SHANK))
    bend = math.acos((_THIGH**2 + reach**2 - _SHANK**2) / (2 * _THIGH * reach))
    knee = _swing(hip, math.atan2(ankle[0] - hip[0], hip[1] - ankle[1]) + bend, _THIGH)
    return knee, ankle, (sole[0] + 0.05, sole[1] + 0.01)


# A point of a body (forward, up), and how far aside of its plane, to the page.
_Flat = Callable[[Point, float], Point]


class _Pen:
    """Draws in bodies' units (x to the right of the foot, y upwards) on a sheet that reaches so far around it."""

    def __init__(self, x: float, y: float, unit: float, reach: tuple[float, float, float]):
        side, above, below = (value * unit for value in reach)
        self._left, self._top = math.floor(x - side), math.floor(y - above)
        self._origin = x - self._left, y - self._top
        self._unit = unit
        self._shape = math.ceil(y + below) - self._top, math.ceil(x + side) - self._left
        self._limbs: list[tuple[float, ...]] = []
        # In order: a colour, a limb's number or an outline, and the width of a line or 0 to fill.
        self._strokes: list[tuple[Colour, NDArray[np.int32] | int, float]] = []

    def limb(self, start: Point, end: Point, wide: float, narrow: float, colour: Colour) -> None:
        """A tapered limb with round ends; `wide` and `narrow` are half widths."""
        self._strokes.append((colour, len(self._limbs), 0.0))
        self._limbs.append((*start, *end, wide, narrow))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._strokes.append((colour, self._fixed(np.asarray(points)), 0.0))

    def ring(self, centre: Point, wide: float, high: float, line: float, colour: Colour) -> None:
        self._strokes.append((colour, self._fixed(_CIRCLE * (wide, high) + centre), line))

    def sprite(self, cloth: Pixels, light: float, blur: float) -> Sprite:
        """What was drawn, at the frame's own resolution, lit from the left and smeared by its motion."""
        high, wide = self._shape
        sheet = np.zeros((high * _FINE, wide * _FINE, 4), np.uint8)
        outlines = self._outlines()
        for colour, stroke, line in self._strokes:
            points = outlines[stroke] if isinstance(stroke, int) else stroke
            if line:
                thickness = max(2, round(line * self._unit * _FINE))
                cv2.polylines(sheet, [points], True, (*colour, 255), thickness, cv2.LINE_AA, _BITS)
            else:
                cv2.fillPoly(sheet, [points], (*colour, 255), cv2.LINE_AA, _BITS)
        small = cv2.resize(sheet, (wide, high), interpolation=cv2.INTER_AREA)
        side = np.linspace(1.3 * light, 0.6 * light, wide, dtype=np.float32)
        shaded = np.asarray(small * cv2.cvtColor(cloth[:high, :wide] * side, cv2.COLOR_GRAY2RGBA), np.float32)
        smeared = cv2.blur(shaded, (round(blur), 1)) if blur >= 2 else shaded
        return Sprite(np.asarray(smeared, np.float32), self._left, self._top)

    def _outlines(self) -> NDArray[np.int32]:
        """All limbs as polygons (limbs, points, 2) at once: half a circle around each end."""
        limbs = np.asarray(self._limbs, np.float64).reshape(-1, 6)
        start, end, wide, narrow = limbs[:, None, :2], limbs[:, None, 2:4], limbs[:, None, 4:5], limbs[:, None, 5:]
        along = np.arctan2(*(end - start)[..., ::-1].transpose(2, 0, 1))
        turns = along + np.linspace(-math.pi / 2, math.pi / 2, 9)
        cap = np.stack([np.cos(turns), np.sin(turns)], 2)
        return self._fixed(np.concatenate([start - wide * cap, end + narrow * cap], 1))

    def _fixed(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        places = points * (self._unit, -self._unit) + self._origin
        return np.asarray(np.rint(places * (_FINE << _BITS)), np.int32)


def _draw_arm(pen: _Pen, bones: _Skeleton, side: int, flat: _Flat, look: Look, tone: float) -> None:
    out = _SHOULDERS if side == 0 else -_SHOULDERS
    neck = flat(bones.neck, out)
    shoulder = neck[0], neck[1] - 0.04
    elbow, palm = (flat(point, 1.1 * out) for point in bones.arms[side])
    pen.limb(shoulder, elbow, 0.038, 0.031, _dim(look.coat, tone))
    pen.limb(elbow, palm, 0.031, 0.023, _dim(look.coat, tone))
    pen.limb(palm, palm, 0.021, 0.021, look.skin)


def _draw_bicycle(pen: _Pen, along: float) -> None:
    def flat(x: float, y: float) -> Point:
        return x * along, y

    for x in (-_AXLE, _AXLE):
        pen.ring(flat(x, _WHEEL), _WHEEL * max(0.1, abs(along)), _WHEEL, 0.022, _STEEL)
    red = (170, 40, 34)
    saddle, rear, front, head = (-0.09, 0.47), (-_AXLE, _WHEEL), (_AXLE, _WHEEL), (0.22, 0.47)
    for start, end in (
        (rear, _PEDALS),
        (rear, saddle),
        (_PEDALS, saddle),
        (saddle, head),
        (_PEDALS, head),
        (head, front),
    ):
        pen.limb(flat(*start), flat(*end), 0.011, 0.011, red)
    pen.limb(flat(*head), flat(*_GRIP), 0.010, 0.010, _STEEL)
    pen.limb(flat(-0.15, 0.48), flat(-0.03, 0.49), 0.018, 0.012, _STEEL)


def _dim(colour: Colour, tone: float) -> Colour:
    red, green, blue = (round(value * tone) for value in colour)
    return red, green, blue
