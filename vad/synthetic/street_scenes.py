"""The clips of the demo street: its figures and flying objects at each moment.

Times are in frames of a clip, RATE a second; places in metres: x to the right of the camera's axis, and depth.
"""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vad.synthetic.street_drawing import CAMERA, FOCAL, HORIZON, WIDTH
from vad.synthetic.street_figures import GAITS, Act, Colour, Figure, Look, Thing, hand, palette

RATE = 15.0

_TOSS = 0.9
_SHADE_SCALE = 62


@dataclass(frozen=True)
class Actor:
    """Somebody's way: at (x, depth) at the time `start`, and from then on with (vx, vz) metres a second, until `halt`."""

    look: Look
    act: Act
    x: float
    depth: float
    vx: float
    vz: float = 0.0
    start: float = 0.0
    halt: float = math.inf
    phase: float = 0.0
    anomalous: bool = False
    throws: Callable[[Figure, float], list[Thing]] | None = None  # objects in the air, by seconds since `thrown`
    thrown: float = 0.0

    def at(self, time: float) -> Figure | None:
        """The figure at a time, or None where it is out of the picture."""
        moved = (min(time, self.halt) - self.start) / RATE
        scale = FOCAL / max(self.depth + self.vz * moved, 3.0)
        x = WIDTH / 2 + (self.x + self.vx * moved) * scale
        if abs(x - WIDTH / 2) > WIDTH / 2 + 1.5 * scale:
            return None
        speed = math.hypot(self.vx, self.vz)
        rests = time > self.halt or speed == 0
        act: Act = self.act if time <= self.halt else "throw" if self.throws else "stand"
        gone = time / RATE if rests else moved * speed
        y, heading = HORIZON + CAMERA * scale, math.atan2(-self.vz, self.vx)
        phase = self.phase + 2 * math.pi * gone / GAITS[act].stride
        light = 0.42 if scale < _SHADE_SCALE else 0.95
        blur = 0.4 * abs(self.vx) * scale / RATE if act in ("run", "cycle") else 0.0
        return Figure(self.look, act, x, y, scale, heading, phase, light, blur, self.anomalous)


@dataclass(frozen=True)
class Clip:
    """One video: its frames' numbers, of which the first has the time 0, and who is in it."""

    video: int
    numbers: tuple[int, ...]
    actors: tuple[Actor, ...]

    def at(self, number: int) -> tuple[list[Figure], list[Thing], float]:
        """Return the figures and things in a frame, and its time in seconds, unique across videos."""
        time = float(number - self.numbers[0])
        seen = [(actor, figure) for actor in self.actors if (figure := actor.at(time))]
        things: list[Thing] = []
        for actor, figure in seen:
            if actor.throws and time >= actor.thrown:
                things += actor.throws(figure, (time - actor.thrown) / RATE)
        return [figure for _, figure in seen], things, 11 * self.video + time / RATE


def training_clips(videos: int, frames: int, generator: np.random.Generator) -> list[Clip]:
    """Clips with nothing but people who walk across, or stand."""
    return [Clip(v, tuple(range(frames)), tuple(_walkers(generator, frames))) for v in range(1, videos + 1)]


def test_clips(frames: int, generator: np.random.Generator) -> list[Clip]:
    """Six clips, some frames of them missing: in each but the second something happens that never does in training.

    1 someone runs; 3 papers fly; 4 someone cycles; 5 someone crosses the lawn; 6 someone stands too close, a bag is tossed.
    """
    red, yellow, blue, white = (196, 44, 42), (232, 200, 56), (72, 164, 214), (214, 214, 210)

    runner = Actor(_look(generator, yellow), "run", -4.3, 10.9, 4.3, start=38, anomalous=True)
    thrower = Actor(_look(generator, white), "walk", -5.5, 10.4, 1.5, start=-6, halt=40, throws=_sheets, thrown=42)
    cyclist = Actor(_look(generator, blue), "cycle", 3.0, 10.6, -4.0, anomalous=True)
    stranger = Actor(_look(generator, red), "walk", -3.4, 7.7, 1.15, -0.85, start=33, anomalous=True)
    intruder = Actor(_look(generator, (74, 70, 78)), "walk", -0.75, 3.9, -1.05, anomalous=True)
    tosser = Actor(_look(generator, blue), "walk", 5.2, 10.8, -1.5, start=8, halt=46, throws=_bag, thrown=47)
    events = (runner,), (), (thrower,), (cyclist,), (stranger,), (intruder, tosser)
    missing = {17}, {41}, {8, 33}, set[int](), {30}, {25}
    clips = []
    for video, (actors, lost) in enumerate(zip(events, missing, strict=True), 1):
        first = 14 if video == 5 else 0
        numbers = tuple(n for n in range(first, first + frames + len(lost)) if n not in lost)
        clips.append(Clip(video, numbers, (*_walkers(generator, frames), *actors)))
    return clips


def _walkers(generator: np.random.Generator, frames: int) -> list[Actor]:
    """People who walk across at a normal pace, some in pairs, some who stop, and a few under the roof."""
    actors = []
    time = -70.0
    while time < frames:
        way = 1.0 if generator.random() < 0.5 else -1.0
        depth, speed = generator.uniform((10.2, 1.05), (12.6, 1.5)).tolist()
        edge = WIDTH / 2 * depth / FOCAL + 0.6
        halt = time + float(generator.uniform(35, 70)) if generator.random() < 0.15 else math.inf
        for beside in range(2 if generator.random() < 0.3 else 1):
            x, z, phase = -way * (edge + 0.35 * beside), depth + 0.7 * beside, float(generator.uniform(0, 6.2))
            actors.append(Actor(_look(generator), "walk", x, z, way * speed, start=time, halt=halt, phase=phase))
        time += float(generator.uniform(20, 48))
    for _ in range(3):
        x, depth, phase = generator.uniform((-5.0, 15.2, 0.0), (5.0, 17.0, 6.2)).tolist()
        speed = float(generator.choice((0.0, 0.0, 0.9, -0.9)))
        actors.append(Actor(_look(generator), "walk" if speed else "stand", x, depth, speed, phase=phase))
    return actors


_COATS = palette("222634 302c2e 565654 7e8088 465470 7a3030 a09a90 3a4e40 785c42 2e4270 8f7440 603654 3c6474 aaa69e")
_TROUSERS = palette("1e2028 30364c 404e70 685e50 968a74 323030")
_SKINS = palette("d0aa8e bc9274 966c50 624636 debaa0")
_HAIRS, _SHOES = palette("1c1816 2c221c 543c28 18181c 787068"), palette("1e1c1c 3c3028 989690")
_BAGS = palette("28282c 6e2c28 3c4860 60543c")


def _look(generator: np.random.Generator, coat: Colour | None = None) -> Look:
    def one(colours: tuple[Colour, ...]) -> Colour:
        return colours[int(generator.integers(len(colours)))]

    height, coat = float(generator.uniform(1.56, 1.84)), coat or one(_COATS)
    trousers, skin, hair, shoes = (one(colours) for colours in (_TROUSERS, _SKINS, _HAIRS, _SHOES))
    bag = one(_BAGS) if generator.random() < 0.35 else None
    return Look(height, coat, trousers, skin, hair, shoes, bag)


def _bag(thrower: Figure, seconds: float) -> list[Thing]:
    """A bag that turns as it flies up from a hand, falls back, and is tossed again."""
    flown = seconds % _TOSS
    place = hand(thrower) - 4.9j * flown * (_TOSS - flown) * thrower.scale
    outline = np.array([-1.0 - 0.6j, -0.6 - 0.9j, 0.6 - 0.9j, 1.0 - 0.6j, 0.9 + 0.9j, -0.9 + 0.9j])
    corners = place + outline * cmath.rect(0.19 * thrower.scale, 7 * flown)
    return [Thing(corners, (178, 56, 48), thrower.scale + 0.5)]


def _sheets(thrower: Figure, seconds: float) -> list[Thing]:
    """Sheets of paper that burst from a hand, are slowed by the air, and flutter down."""
    place = hand(thrower)
    low = 0.03 - (thrower.y - place.imag) / thrower.scale
    random, sheets = np.random.default_rng(13), []
    for _ in range(13):
        vx, vy, spin, drag = random.uniform((-2.4, 1.2, -6.0, 1.4), (2.4, 4.0, 6.0, 2.2)).tolist()
        slowed = (1 - math.exp(-drag * seconds)) / drag
        across = vx * slowed + 0.10 * math.sin(4 * seconds + spin)
        up = max(low, vy * slowed - 1.1 * (seconds - slowed))
        tilt = 0.3 + 0.7 * abs(math.sin(spin * seconds + vx))
        outline = np.array([-1.0, 1.0, 0.95, -1.05]) + 1j * tilt * np.array([-0.8, -0.6, 0.8, 0.6])
        corners = outline * cmath.rect(0.16 * thrower.scale, 0.6 * spin * seconds + vx)
        tone = round(190 + 50 * tilt)
        moved = place + thrower.scale * complex(across, -up)
        sheets.append(Thing(moved + corners, (tone, tone, tone), thrower.scale + 0.5))
    return sheets
