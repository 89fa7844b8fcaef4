"""How scores are written as text, in tables of the command line and in every format of the report."""


def decimals(value: float, percent: bool) -> int:
    """Returns the digits after the decimal point: two, or four for numbers below 1 that are not in percent."""
    return 2 if percent or abs(value) >= 1 or value == 0 else 4


def number(value: float, digits: int) -> str:
    """Formats `value` with `digits` after the decimal point, or in scientific notation if it is very large or small."""
    return f"{value:.3g}" if _extreme(value) else f"{value:.{digits}f}"


def with_half(value: float, half: float | None, percent: bool) -> str:
    """Formats a value and, if there is one, what stands behind its ±, with the same digits: `94.12 ± 0.83`."""
    digits = decimals(value, percent)
    if half is None:
        return number(value, digits)
    spread = f"{half:.{digits}f}" if half < 1e7 and not _extreme(value) else f"{half:.3g}"
    return f"{number(value, digits)} ± {spread}"


def _extreme(value: float) -> bool:
    return value != 0 and not 1e-4 <= abs(value) < 1e7
