"""The demo street's figures: people that walk, run, ride or throw, and what they throw, as sprites.

A body is a skeleton of points, forward + up * 1j, in units of its height with the foot at 0.
"""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Act = Literal["walk", "run", "stand", "throw", "cycle"]
Points = NDArray[np.complex128]
Pixels = NDArray[np.float32]

_FINE, _BITS = 2, 4
_CIRCLE, _HALF = np.linspace(0, 2 * math.pi, 40), np.linspace(-math.pi / 2, math.pi / 2, 9)


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
    """A person on screen, with the foot at the pixel (x, y)."""

    look: Look
    act: Act
    x: float
    y: float
    scale: float  # pixels a metre there
    heading: float  # 0 right, pi/2 to the camera
    phase: float  # where the step is, in radians
    light: float
    blur: float  # how far it moves, in pixels, while the shutter is open
    anomalous: bool


@dataclass(frozen=True)
class Thing:
    """What flies: a polygon of one colour, in pixels, at the depth of `scale`. It is always anomalous."""

    corners: Points
    colour: Colour
    scale: float


@dataclass(frozen=True)
class Sprite:
    """A picture to paste at (left, top): float32 (h, w, 4), RGB times alpha, and alpha, all 0..255."""

    pixels: Pixels
    left: int
    top: int


class Gait(NamedTuple):
    """How an act looks: angles in radians; leap and reach to each side of the foot and above it in body heights."""

    thigh: float
    knee: float
    lean: float
    elbow: float
    arm: float
    leap: float
    side: float
    above: float
    stride: float  # of two steps in metres, or in seconds where it stays in its place


GAITS: dict[Act, Gait] = {
    "walk": Gait(0.42, 0.75, 0.04, 0.25, 0.40, 0.00, 0.36, 1.04, 1.45),
    "run": Gait(0.90, 1.60, 0.30, 1.50, 0.95, 0.04, 0.60, 1.08, 2.6),
    "stand": Gait(0.06, 0.05, 0.00, 0.20, 0.05, 0.00, 0.30, 1.04, 4.0),
    "throw": Gait(0.12, 0.05, -0.08, 0.20, 0.05, 0.00, 0.36, 1.34, 1.1),
    "cycle": Gait(0.00, 0.00, 0.55, 0.30, 0.00, 0.00, 0.56, 1.08, 4.4),
}
_BELOW = 0.06
_THIGH, _SHANK, _TRUNK, _UPPER, _FORE = 0.245, 0.245, 0.31, 0.165, 0.15
_HIPS, _SHOULDERS = 0.042, 0.098

# The bicycle, in heights of its rider.
_WHEEL, _AXLE, _CRANK = 0.19, 0.30, 0.075
_SADDLE, _PEDALS, _GRIP = -0.10 + 0.545j, 0.185j, 0.25 + 0.60j
_Leg = tuple[complex, complex, complex]  # knee, ankle, toe
_Arm = tuple[complex, complex]  # elbow, hand
_STEEL, _RED = (40, 42, 48), (170, 40, 34)


def draw_figure(figure: Figure, cloth: Pixels) -> Sprite:
    """The figure as a sprite; `cloth` is a brightness texture of at least its size."""
    look, gait = figure.look, GAITS[figure.act]
    hips, shoulders, crown, legs, arms = _skeleton(figure)
    pen = _Pen(figure.x, figure.y, figure.scale * look.height, (gait.side, gait.above, _BELOW))
    along, across = math.cos(figure.heading), -math.sin(figure.heading)

    def flat(point: complex, sideways: float = 0.0) -> complex:
        return complex(point.real * along + sideways * across, point.imag)

    def draw_arm(side: int, tone: float) -> None:
        out = _SHOULDERS if side == 0 else -_SHOULDERS
        shoulder = flat(shoulders, out) - 0.04j
        elbow, palm = (flat(point, 1.1 * out) for point in arms[side])
        pen.limb(shoulder, elbow, 0.038, 0.031, _dim(look.coat, tone))
        pen.limb(elbow, palm, 0.031, 0.023, _dim(look.coat, tone))
        pen.limb(palm, palm, 0.021, 0.021, look.skin)

    # The body's left side, number 0, is the far one where it goes to the right.
    far, near = (0, 1) if along >= 0 else (1, 0)
    if figure.act == "cycle":
        _draw_bicycle(pen, flat, abs(along))
    draw_arm(far, 0.75)
    for side, tone in ((far, 0.75), (near, 1.0)):
        out = _HIPS if side == 0 else -_HIPS
        hip, knee, ankle, toe = (flat(point, out) for point in (hips, *legs[side]))
        pen.limb(hip, knee, 0.052, 0.038, _dim(look.trousers, tone))
        pen.limb(knee, ankle, 0.038, 0.026, _dim(look.trousers, tone))
        pen.limb(ankle, toe, 0.024, 0.017, _dim(look.shoes, tone))
    hip, neck, head = flat(hips), flat(shoulders), flat(crown)
    if look.bag:
        back = hip - 0.09 * along + 0.21j
        pen.limb(back, back - 0.13j, 0.058, 0.058, look.bag)
    chest, waist = 0.070 * abs(along) + 0.108 * abs(across), 0.062 * abs(along) + 0.084 * abs(across)
    right = [hip + waist - 0.06j, hip + waist + 0.08j, neck + chest - 0.07j, neck + 0.55 * chest]
    left = [neck - 0.55 * chest, neck - chest - 0.07j, hip - waist + 0.08j, hip - waist - 0.06j]
    pen.polygon(np.array([*right, *left]), look.coat)
    pen.limb(neck, head, 0.034, 0.030, _dim(look.skin, 0.85))
    pen.limb(head + 0.018j, head + 0.006 * along - 0.026j, 0.054, 0.042, look.skin)
    top = head - 0.016 * along
    pen.limb(top + 0.040j, top - 0.020 * along + 0.020j, 0.047, 0.042, look.hair)
    draw_arm(near, 0.92)
    return pen.sprite(cloth, figure.light, figure.blur)


def draw_thing(thing: Thing, cloth: Pixels) -> Sprite:
    """What flies, as a sprite."""
    middle = complex(thing.corners.mean())
    reach = float(np.abs(thing.corners - middle).max()) + 2
    pen = _Pen(middle.real, middle.imag, 1.0, (reach, reach, reach))
    pen.polygon((thing.corners - middle).conj(), thing.colour)
    return pen.sprite(cloth, 1.0, 3.0)


def hand(figure: Figure) -> complex:
    """Where a figure's throwing hand is, in pixels."""
    size, palm = figure.scale * figure.look.height, _skeleton(figure)[-1][0][1]
    return complex(figure.x + palm.real * math.cos(figure.heading) * size, figure.y - palm.imag * size)


def _skeleton(figure: Figure) -> tuple[complex, complex, complex, list[_Leg], list[_Arm]]:
    """Hip, neck, head, legs and arms, the left ones first."""
    gait, riding, hip = GAITS[figure.act], figure.act == "cycle", _SADDLE
    phases = (figure.phase, figure.phase + math.pi)
    legs = [_pedal(phase) if riding else _step(gait, phase) for phase in phases]
    if not riding:
        # The lower foot stands on the ground, so the body bobs as bodies do.
        lowest = min(point.imag for leg in legs for point in leg[1:])
        hip = complex(0.0, 0.02 - lowest + gait.leap * abs(math.cos(figure.phase)))
        legs = [(knee + hip, ankle + hip, toe + hip) for knee, ankle, toe in legs]
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
        arms = [((shoulder + _GRIP) / 2 - 0.02j, _GRIP)] * 2
    return hip, neck, head, legs, arms


def _swing(start: complex, angle: float, length: float) -> complex:
    """The end of a bone that hangs from `start`, `angle` radians forward of straight down."""
    return start + length * complex(math.sin(angle), -math.cos(angle))


def _step(gait: Gait, phase: float) -> _Leg:
    """A leg that hangs from 0; its knee bends while the thigh swings forward."""
    thigh = gait.thigh * math.sin(phase) + gait.lean / 2
    shank = thigh - 0.08 - gait.knee * max(0.0, math.cos(phase))
    knee = _swing(0, thigh, _THIGH)
    ankle = _swing(knee, shank, _SHANK)
    return knee, ankle, _swing(ankle, math.pi / 2 + 0.7 * shank - 0.2, 0.085)


def _pedal(phase: float) -> _Leg:
    """A leg from the saddle to a pedal, its knee bent forward (the law of cosines)."""
    sole = _PEDALS + _CRANK * complex(math.sin(phase), math.cos(phase))
    ankle = sole - 0.03 + 0.04j
    away = ankle - _SADDLE
    reach = min(abs(away), 0.999 * (_THIGH + _SHANK))
    bend = math.acos((_THIGH**2 + reach**2 - _SHANK**2) / (2 * _THIGH * reach))
    return _swing(_SADDLE, math.atan2(away.real, -away.imag) + bend, _THIGH), ankle, sole + 0.05 + 0.01j


class _Pen:
    """Draws in bodies' units (x to the right of the foot, y upwards) on a sheet that reaches so far around it."""

    def __init__(self, x: float, y: float, unit: float, reach: tuple[float, float, float]):
        side, above, below = (value * unit for value in reach)
        self._left, self._top = math.floor(x - side), math.floor(y - above)
        self._origin = complex(x - self._left, y - self._top)
        self._unit = unit
        self._high, self._wide = math.ceil(y + below) - self._top, math.ceil(x + side) - self._left
        self._sheet = np.zeros((self._high * _FINE, self._wide * _FINE, 4), np.uint8)

    def limb(self, start: complex, end: complex, wide: float, narrow: float, colour: Colour) -> None:
        """A tapered limb with round ends; `wide` and `narrow` are half widths."""
        turns = cmath.phase(end - start) + _HALF
        cap = np.cos(turns) + 1j * np.sin(turns)
        self.polygon(np.concatenate([start - wide * cap, end + narrow * cap]), colour)

    def polygon(self, points: Points, colour: Colour) -> None:
        cv2.fillPoly(self._sheet, [self._fixed(points)], (*colour, 255), cv2.LINE_AA, _BITS)

    def ring(self, centre: complex, wide: float, high: float, line: float, colour: Colour) -> None:
        points = self._fixed(wide * np.cos(_CIRCLE) + high * 1j * np.sin(_CIRCLE) + centre)
        thickness = max(2, round(line * self._unit * _FINE))
        cv2.polylines(self._sheet, [points], True, (*colour, 255), thickness, cv2.LINE_AA, _BITS)

    def sprite(self, cloth: Pixels, light: float, blur: float) -> Sprite:
        """What was drawn, at the frame's own resolution, lit from the left and smeared by its motion."""
        small = cv2.resize(self._sheet, (self._wide, self._high), interpolation=cv2.INTER_AREA)
        side = np.linspace(1.3 * light, 0.6 * light, self._wide, dtype=np.float32)
        shade = cv2.cvtColor(cloth[: self._high, : self._wide] * side, cv2.COLOR_GRAY2RGBA)
        shaded = np.asarray(small * shade, np.float32)
        smeared = cv2.blur(shaded, (round(blur), 1)) if blur >= 2 else shaded
        return Sprite(np.asarray(smeared, np.float32), self._left, self._top)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        """Points as OpenCV takes them: (N, 2), whole numbers of which the last `_BITS` bits are a fraction."""
        places = points.conj() * self._unit + self._origin
        return np.asarray(np.rint(np.stack([places.real, places.imag], 1) * (_FINE << _BITS)), np.int32)


def _draw_bicycle(pen: _Pen, turned: Callable[[complex], complex], along: float) -> None:
    for x in (-_AXLE, _AXLE):
        pen.ring(turned(x + _WHEEL * 1j), _WHEEL * max(0.1, along), _WHEEL, 0.022, _STEEL)
    saddle, rear, front, head = -0.09 + 0.47j, -_AXLE + _WHEEL * 1j, _AXLE + _WHEEL * 1j, 0.22 + 0.47j
    starts, ends = (rear, rear, _PEDALS, saddle, _PEDALS, head), (_PEDALS, saddle, saddle, head, head, front)
    for start, end in zip(starts, ends, strict=True):
        pen.limb(turned(start), turned(end), 0.011, 0.011, _RED)
    pen.limb(turned(head), turned(_GRIP), 0.010, 0.010, _STEEL)
    pen.limb(turned(-0.15 + 0.48j), turned(-0.03 + 0.49j), 0.018, 0.012, _STEEL)


def _dim(colour: Colour, tone: float) -> Colour:
    red, green, blue = (round(value * tone) for value in colour)
    return red, green, blue


def palette(text: str) -> tuple[Colour, ...]:
    """Colours in hexadecimal."""
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in text.split())
