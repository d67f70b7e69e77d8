"""The demo street: a small labelled data set, drawn once, for those who have no footage at hand.

A fixed camera sees a walkway before a building. In training people walk across it; in the tests they also
run, throw things, cycle, come the wrong way over the lawn or stand too close. The files lie as the
competition's do, test frames pass its corruption law, and labels come as a CSV and as pixel masks.
"""

import contextlib
import io
import json
import math
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from vad.errors import InputError
from vad.frames.corruption import JPEG_QUALITY, Kind, corrupt, draw_kinds
from vad.frames.decode import Image, decoding_pool
from vad.frames.labels import MASKS
from vad.frames.layouts import TEST, TRAIN
from vad.frames.street_drawing import CAMERA, FOCAL, HEIGHT, HORIZON, WIDTH, Scenery, compose, draw_scenery
from vad.frames.street_figures import Act, Colour, Figure, Look, Point, Thing, hand

VERSION = 1
SEED = 20251221
RATE = 15.0
TRAIN_FRAMES, TEST_FRAMES = 90, 60
MARKER = "street.json"

# A frame counts as anomalous once this many pixels of the cause are seen, not from the first fingertip on.
_SEEN = 150
_STRIDE: dict[Act, float] = {"walk": 1.45, "run": 2.6, "stand": 4.0, "throw": 4.0, "cycle": 4.4}


@dataclass(frozen=True)
class _Actor:
    """Somebody's way: at (x, depth) in metres at frame `start`, from then on with (vx, vz) metres a second.

    Nobody is there before frame `first` or after frame `last`; after frame `halt` they stand still.
    """

    look: Look
    act: Act
    x: float
    depth: float
    vx: float
    vz: float = 0.0
    start: float = 0.0
    first: float = -math.inf
    last: float = math.inf
    halt: float = math.inf
    phase: float = 0.0
    anomalous: bool = False

    def at(self, time: float) -> Figure | None:
        """The figure at a frame's time, or None where it is out of the picture."""
        if not self.first <= time <= self.last:
            return None
        moved = (min(time, self.halt) - self.start) / RATE
        scale = FOCAL / (self.depth + self.vz * moved)
        x = WIDTH / 2 + (self.x + self.vx * moved) * scale
        if not -0.8 * 1.9 * scale < x < WIDTH + 0.8 * 1.9 * scale:
            return None
        speed = math.hypot(self.vx, self.vz)
        act: Act = "stand" if time > self.halt else self.act
        step = self.phase + 2 * math.pi * (time / RATE if speed == 0 else moved * speed / _STRIDE[self.act])
        heading = math.atan2(-self.vz, self.vx)
        blur = abs(self.vx) * scale / RATE * 0.4 if self.act in ("run", "cycle") else 0.0
        light = 0.42 if scale < 62 else 0.95
        return Figure(
            self.look, act, x, HORIZON + CAMERA * scale, scale, heading, step, light, blur, self.anomalous
        )


@dataclass(frozen=True)
class _Throw:
    """Something thrown by an actor at frame `first`: a flurry of sheets, or a bag that comes down again."""

    actor: _Actor
    what: str
    first: float
    last: float = math.inf

    def at(self, time: float) -> list[Thing]:
        figure = self.actor.at(time)
        if figure is None or not self.first <= time <= self.last:
            return []
        if self.what == "bag":
            return [_bag(figure, (time - self.first) / RATE)]
        thrower = self.actor.at(self.first)
        return [] if thrower is None else _sheets(thrower, (time - self.first) / RATE)


@dataclass(frozen=True)
class _Clip:
    """One video: its number, its frames' numbers, who is in it, and how many frames the uncut video has."""

    video: int
    numbers: tuple[int, ...]
    actors: tuple[_Actor, ...]
    throws: tuple[_Throw, ...]
    length: int


def _bag(figure: Figure, seconds: float) -> Thing:
    """A bag tossed up and caught again, over and over, turning as it flies."""
    period = 0.9
    flown = seconds % period
    x, y = hand(figure)
    up = (4.9 * period * flown - 4.9 * flown**2) * figure.scale
    size, turn = 0.19 * figure.scale, 2.2 * math.pi * flown
    corners = [(-1.0, -0.7), (-0.6, -1.0), (0.6, -1.0), (1.0, -0.7), (0.9, 0.9), (-0.9, 0.9)]
    return Thing(_placed(corners, (x, y - up), size, turn), (196, 58, 48), figure.scale + 0.5)


def _sheets(thrower: Figure, seconds: float) -> list[Thing]:
    """Sheets of paper that burst from a hand, slow down in the air and flutter to the ground."""
    x, y = hand(thrower)
    random, sheets = np.random.default_rng(SEED), []
    for _ in range(13):
        vx, vy, spin, drag = random.uniform((-2.2, 1.4, -5, 1.4), (2.2, 3.8, 5, 2.2))
        slowed = (1 - math.exp(-drag * seconds)) / drag
        fall = 0.9 * (seconds - slowed) * 1.1
        across = vx * slowed + 0.10 * math.sin(5 * seconds + spin)
        rise = max(vy * slowed - fall, 0.05 - (thrower.y - y) / thrower.scale * -1 * -1)
        flat = 0.35 + 0.65 * abs(math.sin(spin * seconds + vx))
        corners = [(-1.0, -0.75 * flat), (1.0, -0.6 * flat), (0.95, 0.75 * flat), (-1.05, 0.6 * flat)]
        place = x + across * thrower.scale, y - rise * thrower.scale
        tone = round(205 + 40 * flat)
        sheets.append(
            Thing(_placed(corners, place, 0.17 * thrower.scale, spin * seconds), (tone, tone, tone), thrower.scale + vx)
        )
    return sheets


def _placed(corners: list[Point], place: Point, size: float, turn: float) -> tuple[Point, ...]:
    cosine, sine = size * math.cos(turn), size * math.sin(turn)
    return tuple((place[0] + x * cosine - y * sine, place[1] + x * sine + y * cosine) for x, y in corners)


_COATS: tuple[Colour, ...] = (
    (34, 38, 52), (48, 44, 46), (92, 86, 84), (126, 128, 136), (70, 84, 112), (150, 40, 40), (176, 170, 160),
    (58, 78, 64), (120, 92, 66), (40, 60, 120), (188, 150, 60), (96, 54, 84), (60, 110, 124), (206, 204, 200),
)
_TROUSERS: tuple[Colour, ...] = ((30, 32, 40), (48, 54, 76), (64, 78, 112), (104, 94, 80), (150, 138, 116), (50, 48, 48))
_SKINS: tuple[Colour, ...] = ((208, 170, 142), (188, 146, 116), (150, 108, 80), (98, 70, 54), (222, 186, 160))
_HAIRS: tuple[Colour, ...] = ((28, 24, 22), (44, 34, 28), (84, 60, 40), (24, 24, 28), (120, 112, 104))
_SHOES: tuple[Colour, ...] = ((30, 28, 28), (60, 48, 40), (196, 194, 190))
_BAGS: tuple[Colour, ...] = ((40, 40, 44), (110, 44, 40), (60, 72, 96), (96, 84, 60))


def _look(random: np.random.Generator, coat: Colour | None = None) -> Look:
    def one(colours: tuple[Colour, ...]) -> Colour:
        return colours[int(random.integers(len(colours)))]

    bag = one(_BAGS) if random.random() < 0.35 else None
    return Look(
        float(random.uniform(1.56, 1.84)), coat or one(_COATS), one(_TROUSERS), one(_SKINS), one(_HAIRS), one(_SHOES), bag
    )


def _walkers(random: np.random.Generator, frames: int) -> list[_Actor]:
    """People who walk across at a normal pace, some in pairs, and a few who stroll in the dark under the roof."""
    actors = []
    time = -70.0
    while time < frames:
        way = 1.0 if random.random() < 0.5 else -1.0
        depth, speed = float(random.uniform(10.2, 13.0)), float(random.uniform(1.05, 1.5))
        edge = -way * (WIDTH / 2 * depth / FOCAL + 0.6)
        for beside in range(2 if random.random() < 0.3 else 1):
            phase = float(random.uniform(0, 2 * math.pi))
            place = edge - 0.35 * beside * way, depth + 0.7 * beside
            actors.append(_Actor(_look(random), "walk", *place, way * speed, start=time, phase=phase))
        time += float(random.uniform(16, 42))
    for _ in range(3):
        x, depth, phase = random.uniform((-5.0, 15.2, 0.0), (5.0, 17.0, 6.2)).tolist()
        act: Act = "walk" if random.random() < 0.4 else "stand"
        speed = float(random.choice((-0.9, 0.9))) if act == "walk" else 0.0
        actors.append(_Actor(_look(random), act, x, depth, speed, phase=phase))
    return actors
