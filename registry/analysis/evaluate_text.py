"""What `vad evaluate` prints."""

from collections.abc import Sequence

from registry.analysis.evaluate import Evaluated, Evaluation
from registry.analysis.evaluate_regions import lines as places
from registry.console import difference_text, duration, interval, measured_text, number, plural, table
from vad.measures.frame_level import Part, Point
from vad.measures.metrics import Difference

_MOST = 30  # videos in the table


def as_text(found: Evaluated) -> str:
    """All metrics for a terminal: of one file, or of two side by side with their difference."""
    return "\n".join(_one(found.files[0], found) if found.difference is None else _two(found, found.difference))


def _one(side: Evaluation, found: Evaluated) -> list[str]:
    rows = [*_rest(side, found), *(places(found.places) if found.places else ())]
    lines = [measured_text(side.measured), *(f"{name:<12}{text}" for name, text in rows)]
    if side.frames.scenes:
        lines += ["", _parts("scene", side.frames.scenes)]
    return [*lines, "", *_videos(side.frames.videos), "", *_protocol(side)]


def _rest(side: Evaluation, found: Evaluated) -> list[tuple[str, str]]:
    macro, delay = side.frames.macro, side.delay
    plain = "no video has both kinds of frames" if macro.plain is None else f"mean of {plural(macro.videos, 'video')}"
    every = plural(macro.videos + macro.left_out, "video")
    best, at = side.frames.best_f1, side.frames.at_tpr
    alarmed = "share of normal frames alarmed where 95 % of anomalous ones are"
    alarms = f"at {plural(delay.false_alarms, 'false alarm')} in {duration(delay.hours * 3600)} of normal footage ({found.false_alarms:g} an hour allowed)"
    if delay.threshold is None:
        noticed = "-       (the highest score alone raises more false alarms than allowed)"
    elif delay.mean is None or delay.median is None:
        noticed = f"-       (none of {plural(delay.events, 'event')} noticed, {alarms})"
    else:
        seconds = f"{delay.mean / found.fps:.2f} s at {found.fps:g} fps"
        noticed = f"{delay.mean:.1f} frames  (mean from onset to first alarm, {seconds}; median {delay.median:g})"
    rows = [
        ("macro AUC", f"{number(macro.plain):<6}  ({plain}; {macro.left_out} of one kind left out)"),
        ("  padded", f"{macro.padded:.4f}  (mean of {every}, each with a 0 in front and a 1 at its end)"),
        ("EER", f"{side.frames.eer:.4f}"),
        ("best F1", f"{best.f1:.4f}  ({_point(best)}, chosen on these labels)"),
        ("FPR95", f"{at.fpr:.4f}  ({alarmed}; {_point(at)})"),
        ("delay", noticed),
    ]
    if delay.mean is not None:
        events = f"{delay.detected} of {plural(delay.events, 'event')} noticed"
        rows.append(("", f"{events}, at threshold {delay.threshold:g}, {alarms}"))
    return rows


def _point(point: Point) -> str:
    return f"threshold {point.threshold:.6g}, precision {point.precision:.4f}, recall {point.recall:.4f}"


def _parts(what: str, parts: Sequence[Part]) -> str:
    rows = [[p.name, p.frames, p.anomalous, number(p.ap), number(p.auc)] for p in parts]
    return table([what, "frames", "anomalous", "AP", "AUC"], rows, right=range(1, 5))


def _videos(parts: Sequence[Part]) -> list[str]:
    """Every video; of many, those with the lowest AUC."""
    if len(parts) <= _MOST:
        return [_parts("video", parts)]
    lowest = sorted((part for part in parts if part.auc is not None), key=lambda part: part.auc or 0)[:_MOST]
    return [_parts("video", lowest), f"the {len(lowest)} with the lowest AUC of {len(parts):,}; --json has all"]


def _protocol(side: Evaluation) -> list[str]:
    return ["protocol", *(f"  {name:<11} {text}" for name, text in side.protocol.items())]


def _two(found: Evaluated, difference: Difference) -> list[str]:
    rows = []
    for letter, side in zip("AB", found.files, strict=True):
        m, f = side.measured, side.frames
        metrics = (m.auc, f.macro.plain, f.macro.padded, f.eer, f.best_f1.f1, f.at_tpr.fpr)
        rows.append([letter, side.file, number(m.ap), interval(m), *map(number, metrics)])
    header = ["", "file", "AP", "95 % interval", "AUC", "macro AUC", "padded", "EER", "best F1", "FPR95"]
    a, b = found.files
    verdict = f"B less A  {difference_text(difference)}"
    lines = [table(header, rows, right=(2, *range(4, 10))), "", verdict, "", *_protocol(a)]
    return lines + ([f"  frames of B {b.protocol['frames']}"] if a.protocol["frames"] != b.protocol["frames"] else [])
