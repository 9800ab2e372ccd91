"""Numbers, times and sizes as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LARGEST = 1e15  # larger numbers are written with a power of ten
_SMALLEST = 1e-4


def number(value: float | None, digits: int = 4) -> str:
    """A number with some significant digits: ``0.8432``, ``12,346``, ``−3.1 × 10⁻⁷``. None and NaN are a dash.

    :param digits: of fractions; whole numbers are written in full.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and not _SMALLEST <= size < _LARGEST:
        mantissa, _, power = f"{value:.{max(0, digits - 1)}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa} × 10{str(int(power)).translate(_SUPERSCRIPT)}".replace("-", "−")
    if float(value).is_integer():
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def fixed(value: float | None, decimals: int = 3) -> str:
    """A number with a fixed number of decimals, for columns that are compared: ``0.840``. None and NaN are a dash."""
    if value is None or not math.isfinite(value) or abs(value) >= 10 ** (7 - decimals):
        return number(value)
    if value and abs(value) < 10**-decimals:
        return number(value, 2)
    return f"{value:,.{decimals}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A count with thousands apart: ``12,345``. Sums of weights have fractions."""
    return NOTHING if value is None else number(value, 6)


def counted(value: int, noun: str, several: str = "") -> str:
    """A count with its noun: ``1 row``, ``12,345 rows``.

    :param several: the noun's plural, unless it ends in ``s``.
    """
    return f"{count(value)} {noun if value == 1 else several or noun + 's'}"


def brief(value: float | None) -> str:
    """A number for a narrow place, such as an axis: ``0.25``, ``1.5k``, ``12M``."""
    if value is None or not math.isfinite(value):
        return number(value)
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            divisor = 1e3 if letter == "k" else size
            return f"{value / divisor:.3g}{letter}".replace("-", "−")
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def share(value: float | None, decimals: int = 1) -> str:
    """A share of 1 as percents: ``12.3%``, ``<0.1%``. 0 and 1 are exact: what is near to them says so."""
    if value is None or not math.isfinite(value):
        return NOTHING
    least = 10**-decimals / 100
    if 0 < value < least:
        return f"<{least * 100:.{decimals}f}%"
    if 1 - least < value < 1:
        return f">{100 - least * 100:.{decimals}f}%"
    return f"{value * 100:.{0 if value in (0, 1) else decimals}f}%".replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration: ``23 ms``, ``5.3 s``, ``1 min 15 s``, ``2 h 7 min``, ``3 d 4 h``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if 0 < value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    if value < 59.95:
        return f"{value:.1f}".removesuffix(".0") + " s"
    whole = round(value)
    for unit, part, size, smaller in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86400, 3600)):
        if whole < size * (24 if unit == "h" else 60) or unit == "d":
            rest = whole % size // smaller
            return f"{whole // size:,} {unit}" + (f" {rest} {part}" if rest else "")
    return NOTHING  # never reached


def size(value: float | None) -> str:
    """Bytes: ``812 B``, ``3.4 MB``, in powers of 1,000."""
    if value is None:
        return NOTHING
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"


def moment(value: str | float | datetime | None) -> str:
    """A moment: ``27 Nov 2026, 21:04 UTC``. A text that is no moment stays as it is.

    :param value: ISO 8601, or seconds since 1970.
    """
    if value is None or value == "":
        return NOTHING
    try:
        found = _as_datetime(value)
    except (ValueError, OverflowError, OSError):
        return str(value)
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def date(value: str | float | None) -> str:
    """A date: ``27 Nov 2026``. A text that is no moment stays as it is."""
    return moment(value).partition(",")[0]


def _as_datetime(value: str | float | datetime) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def clipped(value: object, longest: int = 60) -> str:
    """A text of at most so many characters; of a longer one the middle is left out."""
    text = str(value)
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def short_digest(value: str) -> str:
    """The first twelve characters of a digest."""
    return value[:12]


#: What templates have as filters.
FILTERS = {
    function.__name__: function
    for function in (brief, clipped, count, counted, date, fixed, moment, number, seconds, share, short_digest, size)
}
