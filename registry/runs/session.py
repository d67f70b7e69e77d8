"""What the runs of one command share: engine, store, device, decoded frames; opened once, and ended however the command ends."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from registry.console import Bar, detail, say
from registry.engines import open_engine
from registry.engines.base import Engine
from registry.runs.context import RunContext, Subset
from registry.runs.members import MemberStore, TrainedMember
from registry.signals import was_stopped
from registry.store.runlog import RunLog
from registry.store.tracking import Tracking
from vad.detectors.member import Member, digest_of
from vad.frames import maps
from vad.frames.repaired import read_evidence, usable
from vad.frames.store import Frames, map_path
from vad.images.view import Sketch
from vad.inputs import Samples
from vad.system.devices import device
from vad.system.files import replacing


@dataclass(frozen=True)
class Session:
    """What the runs of one command share.

    `force_tags` has the tag that finished runs and members need to be reused; it is empty without FORCE, where all can be.
    `maps` are the decoded frames, by the digest of their source and by view. `failed` says why members and experiments
    failed, by digest.
    """

    tracking: Tracking
    store: MemberStore
    engine: Engine
    device: torch.device
    home: Path
    force_tags: dict[str, str]
    maps: dict[tuple[str, Sketch], Frames] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def lock(self, digest: str, waiting: str | None = None) -> Iterator[bool]:
        """Let one process of this folder train a member, or run an experiment; yield whether it is this one.

        With `waiting`, say so and wait for the process that holds the lock; look again then for what it made. A process
        that waits must not hold a member's lock.
        """
        lock = FileLock(self.home / "locks" / digest)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            if waiting is None:
                yield False
                return
            say(f"  {waiting}; waiting for that")
            held = lock.acquire()
        with held:
            yield True

    def find_member(self, context: RunContext, name: str) -> TrainedMember | None:
        """Return the finished member in the store that a run can use, if there is one."""
        return self.store.find(context.plan.members[name], context.member_digests[name], self.force_tags)

    def repair_evidence(self, context: RunContext) -> NDArray[np.float32] | None:
        """What repairs found in each test frame, (N, repairs); None without repairs."""
        test = context.targets[0]
        if test.repairs is None or test.source is None or not context.plan.members:
            return None
        view = next(iter(context.plan.members.values())).view
        return read_evidence(test.source, test.view(view), self.home / "frames")

    def samples(self, member: Member, subset: Subset, *, training: bool = False) -> Samples:
        """Return a member's samples of these frames. Samples that are slow to compute are cached with the frames."""
        view = subset.view(member.view)
        frames = self.maps[subset.digest, view]
        index = subset.index
        assert subset.source is not None
        if subset.repairs is not None:
            evidence = read_evidence(subset.source, view, self.home / "frames")
            index = usable(index, evidence, subset.repairs.fitted)
        samples = member.kind_of_input().samples(frames, index, self.device, training=training)
        if samples.slow:
            place = map_path(self.home / "frames", subset.source, view).with_suffix("")
            path = samples.kept_at(place)
            if path and path.exists() and maps.state(path) == "damaged":
                say(f"  note: {path} was altered or damaged; its samples are computed again")
            with Bar(f"{member.input.name}", len(samples)) as bar:
                samples.keep(place, bar.advance)
        return samples


@contextmanager
def ended(log: RunLog) -> Iterator[RunLog]:
    """Give a run the status by which the block ends."""
    try:
        yield log
    except BaseException as error:
        log.end("KILLED" if was_stopped(error) or isinstance(error, GeneratorExit) else "FAILED")
        raise
    log.end("FINISHED")


@contextmanager
def open_session(contexts: Sequence[RunContext]) -> Iterator[Session]:
    """Engine and tracking store for the runs of one command. However the block ends, none stays RUNNING."""
    request = contexts[0].request
    engine = open_engine(request.engine, request.gpu_share, chosen := device())
    detail(f"device {chosen}, engine {request.engine}")
    tracking = Tracking(new=True)
    store = MemberStore(tracking, request.home)
    digest = digest_of({"works": sorted(context.digest for context in contexts)})
    file = request.home / "forced" / digest[:24]
    force_tags = {"vad.force": _force_mark(file)} if request.force else {}
    session = Session(tracking, store, engine, chosen, request.home, force_tags)
    with closing(engine), tracking.ending_runs():
        yield session
    if request.force and not session.failed:
        file.unlink(missing_ok=True)


def _force_mark(file: Path) -> str:
    """The id of a command with FORCE, or that of the interrupted command which this one resumes, from its file."""
    if file.is_file():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        said = f"FORCE=1 resumes the forced run that was interrupted, begun {when}"
        say(f"  {said} (delete {file} to start over)")
        return file.read_text()
    with replacing(file) as new:
        new.write_text(uuid.uuid4().hex)
    return file.read_text()
