"""When a run's chunks were predicted, where, at which attempt, and what took how long."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_sklearn.report.charts import Span, time_line
from airflow_sklearn.report.formats import clipped, count, counted, moment, number, seconds
from airflow_sklearn.report.svg import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup

    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import Receipt
    from airflow_sklearn.runs.attempts import Attempt

#: The most lines of the time line. With more, those with failures and the longest ones are shown.
MOST_LINES = 60
#: In a person's words, what the causes of attempts mean, and what to do.
CAUSES: dict[str, tuple[str, str]] = {
    "user": ("What was asked for cannot be done", "Correct it, then clear the failed tasks: a retry fails again."),
    "data": ("The data break a policy", "Correct the source, or change the policy. A retry fails again."),
    "environment": ("The worker's software or the model differs from training", "Use the image of training."),
    "deadline": ("The deadline passed", "Raise 'deadline', cut smaller chunks, or give the job more cores."),
    "cancelled": ("Stopped from outside", "Clear the task, unless somebody wanted it to stop."),
    "memory": ("Memory ran out", "Give the job more memory."),
    "out_of_memory": ("Memory ran out", "Give the job more memory."),
    "internal": ("An unexpected error", "Airflow retries it. If it stays, report it with the log."),
    "failed": ("The job failed without a result", "Read the log."),
    "lost": ("The container is gone", "Airflow retries it: Spot capacity and hosts may be reclaimed at any time."),
    "no_capacity": ("No capacity", "Raise the runtime's 'capacity_timeout', or use another size or zone."),
    "unknown": ("It is not known how it ended", "Read the log."),
    "not_used": ("Another attempt was first", ""),
    "open": ("Its end is not recorded", "It is running, or it was lost and Airflow has not noticed yet."),
}


@dataclass(frozen=True)
class Try:
    """One attempt at a chunk, whether it counts or not.

    :param start: seconds since 1970; None: it never started, or it is not known.
    :param end: the same; None: not known.
    :param cause: a key of ``CAUSES``; empty: its receipt counts.
    """

    chunk_id: str
    start: float | None
    end: float | None
    cause: str
    message: str = ""
    host: str = ""
    log_url: str = ""
    job: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.cause not in ("", "not_used", "open")

    @property
    def title(self) -> str:
        """The cause in a person's words."""
        return CAUSES.get(self.cause, (self.cause, ""))[0]

    @property
    def fix(self) -> str:
        """What to do."""
        return CAUSES.get(self.cause, ("", ""))[1]


def all_tries(receipts: Mapping[str, Receipt], attempts: Iterable[Attempt]) -> list[Try]:
    """All attempts of a run, by their start.

    :param receipts: the valid receipts by chunk.
    :param attempts: the attempts whose output does not count.
    """
    found = [
        Try(
            chunk_id=one.chunk_id,
            start=(start := _seconds(one.started_at)),
            end=None if start is None else start + one.timings.wall,
            cause="",
            host=one.host.name,
            log_url=one.host.log_url,
            job=one.job,
        )
        for one in receipts.values()
    ]
    found += [_try_of(one) for one in attempts]
    return sorted(found, key=lambda one: (one.start or one.end or 0.0, one.chunk_id))


def _try_of(attempt: Attempt) -> Try:
    start, end = attempt.start, attempt.end
    ended = _seconds(end.ended_at) if end else None
    started = _seconds(start.started_at) if start else None
    if started is None and end and ended is not None and end.seconds:
        started = ended - end.seconds
    return Try(
        chunk_id=attempt.chunk_id,
        start=started,
        end=ended,
        cause=end.cause if end else "open",
        message=end.message if end else "",
        host=start.host.name if start else "",
        log_url=(start.host.log_url if start else "") or (end.log_url if end else ""),
        job=(end.job if end else "") or (start.job if start else ""),
    )


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Times:
    """The times of a run, ready to be shown."""

    picture: Markup | None
    about: str
    wall: float | None
    """Seconds from the first start to the last end; None: not known."""
    steps: list[dict[str, Any]]
    """Where the time of the chunks that are done went."""


def times(plan: Plan, receipts: Mapping[str, Receipt], tries: Sequence[Try]) -> Times:
    """The time line, and where the time went."""
    known = [one for one in tries if one.start is not None or one.end is not None]
    ends = [end for one in known for end in (one.start, one.end) if end is not None]
    wall = max(ends) - min(ends) if ends else None
    picture, about = _time_line(plan, known, min(ends), max(ends)) if ends else (None, "")
    return Times(picture, about, wall, _steps(list(receipts.values())))


def _time_line(plan: Plan, tries: Sequence[Try], first: float, last: float) -> tuple[Markup, str]:
    labels = {chunk.id: chunk.label for chunk in plan.chunks}
    numbers: Counter[str] = Counter()
    drawn: list[tuple[Try, str]] = []
    for one in tries:
        numbers[one.chunk_id] += 1
        retry = f", attempt {numbers[one.chunk_id]}" if numbers[one.chunk_id] > 1 else ""
        how = one.title if one.cause else "predicted"
        took = f", {seconds(one.end - one.start)}" if one.start is not None and one.end is not None else ""
        drawn.append((one, f"{labels.get(one.chunk_id, one.chunk_id)}{retry}: {how}{took}"))
    lanes = _lanes(drawn, last, by_host=True)
    about = counted(len({one.host for one, _ in drawn}), "container or machine", "containers or machines")
    if len(lanes) > MOST_LINES:
        lanes = _lanes(drawn, last, by_host=False)
        about = f"At most {count(len(lanes))} at the same time"
    if len(lanes) > MOST_LINES:
        about += f". Here are the {MOST_LINES} lines with failures or the longest attempts"
        lanes.sort(
            key=lambda lane: (-sum(one.failed for one, _ in lane[1]), -max(_length(one, last) for one, _ in lane[1]))
        )
        lanes = lanes[:MOST_LINES]
    unit, name = next(
        (u, n) for u, n in ((3600, "hours"), (60, "minutes"), (1, "seconds")) if last - first >= 2 * u or u == 1
    )
    spans = [
        Span(
            row,
            ((one.start if one.start is not None else one.end or first) - first) / unit,
            ((last if one.end is None else one.end) - first) / unit,
            title,
            _colour(one),
        )
        for row, (_, lane) in enumerate(lanes)
        for one, title in lane
    ]
    x = Axis(f"{name} since {moment(first)}", 0, max((last - first) / unit, 1e-3), lambda value: number(value, 2))
    tall = 20.0 if len(lanes) <= 30 else 12.0
    names = [name for name, _ in lanes] if tall > 12 else []
    label = f"{len(spans)} attempts over time"
    return time_line(spans, names or [""] * len(lanes), x, label, tall=tall), about


def _lanes(drawn: Sequence[tuple[Try, str]], last: float, *, by_host: bool) -> list[tuple[str, list[tuple[Try, str]]]]:
    """Lines on which attempts do not overlap, each with a name."""
    lanes: dict[str, list[list[tuple[Try, str]]]] = defaultdict(list)
    ends: dict[str, list[float]] = defaultdict(list)
    for one, title in drawn:
        key = (one.host or "no container") if by_host else ""
        start = one.start if one.start is not None else one.end or 0.0
        free = next((n for n, end in enumerate(ends[key]) if end <= start), len(ends[key]))
        if free == len(ends[key]):
            ends[key].append(0.0)
            lanes[key].append([])
        ends[key][free] = last if one.end is None else one.end
        lanes[key][free].append((one, title))
    return [
        (short_host(key) if number == 0 else "", lane)
        for key, found in lanes.items()
        for number, lane in enumerate(found)
    ]


def short_host(name: str) -> str:
    """A host's name for a narrow place: of an ARN the last part."""
    return clipped(name.rpartition("/")[2] if name.startswith("arn:") else name, 22)


def _length(one: Try, last: float) -> float:
    return (last if one.end is None else one.end) - one.start if one.start is not None else 0.0


def _colour(one: Try) -> str:
    return {"": "s0", "open": "warn", "not_used": "soft", "cancelled": "soft"}.get(one.cause, "bad")


LEGEND = [("k0", "predicted"), ("kbad", "failed"), ("kwarn", "its end is not recorded"), ("kr", "stopped or not used")]

_STEPS = (
    ("start_up", "Start", "imports, the model and the parity sample"),
    ("read", "Read", "reading, checking and counting the source"),
    ("predict", "Predict", "the estimator"),
    ("write", "Write", "writing and storing predictions"),
)


def _steps(receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    sums = {name: sum(getattr(one.timings, name) for one in receipts) for name, _, _ in _STEPS}
    total = sum(sums.values())
    if not total:
        return []
    return [
        {
            "name": title,
            "about": about,
            "seconds": sums[name],
            "share": sums[name] / total,
            "median": statistics.median(getattr(one.timings, name) for one in receipts),
            "longest": max(getattr(one.timings, name) for one in receipts),
        }
        for name, title, about in _STEPS
    ]


def causes(tries: Sequence[Try], chunks: Mapping[str, str]) -> list[dict[str, Any]]:
    """Why chunks are not done: the last attempts at them, by cause and message, the most frequent ones first.

    :param chunks: the labels of the chunks without a receipt, by id.
    """
    last = {one.chunk_id: one for one in tries if one.chunk_id in chunks and one.cause not in ("", "not_used")}
    ordered = sorted(last.values(), key=lambda one: (one.cause, _first_line(one.message)))
    found = [
        {
            "title": same[0].title,
            "fix": same[0].fix,
            "message": clipped(same[0].message, 1200),
            "chunks": [chunks[one.chunk_id] for one in same],
            "size": len(same),
            "is_open": same[0].cause == "open",
        }
        for same in (
            list(group) for _, group in itertools.groupby(ordered, lambda one: (one.cause, _first_line(one.message)))
        )
    ]
    return sorted(found, key=lambda one: -len(one["chunks"]))


def _first_line(message: str) -> str:
    return message.partition("\n")[0]
