"""Small pictures as SVG text: ranked scores, and lines. Legible without colour, and described in words."""

from collections.abc import Sequence
from html import escape
from math import isfinite

WIDTH, HEIGHT, EDGE = 240, 72, 4
_POINTS = 160  # of a picture; more are not seen

HATCH = ('<svg class="defs" aria-hidden="true"><defs><pattern id="gone" width="5" height="5" '
         'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V5" class="hatch"/></pattern></defs>'
         "</svg>")


def ranked(scores: Sequence[float], kept: int) -> str:
    """Scores from the highest to the lowest, one bar each: the first ``kept`` full, the others hatched.

    Args:
        scores: descending; numbers that are not finite are left out.
        kept: how many of them stay.
    """
    values = [value for value in scores if isfinite(value)]
    low, high = min([0.0, *values]), max([0.0, *values])
    scale = (HEIGHT - 2 * EDGE) / (high - low or 1.0)
    step = (WIDTH - 2 * EDGE) / max(len(values), 1)
    zero = EDGE + high * scale

    def area(first: int, last: int) -> str:
        if first >= last:
            return ""
        places = _thinned(range(first, last))
        points = "".join(f"L{EDGE + k * step:.1f} {EDGE + (high - values[k]) * scale:.1f}"
                         f"H{EDGE + (k + 1) * step:.1f}" for k in places)
        return f"M{EDGE + first * step:.1f} {zero:.1f}{points}L{EDGE + last * step:.1f} {zero:.1f}Z"

    border = EDGE + min(kept, len(values)) * step
    words = (f"{kept} of {len(scores)} channels stay; the scores are from {max(values, default=0):.3g} down to "
             f"{min(values, default=0):.3g}")
    return _svg(words, f'<path class="stays" d="{area(0, min(kept, len(values)))}"/>'
                       f'<path class="goes" d="{area(kept, len(values))}"/>'
                       f'<path class="border" d="M{border:.1f} 0V{HEIGHT}"/>')


def line(x: Sequence[float], y: Sequence[float], words: str) -> str:
    """A line through points, with a dot at each where there are few.

    Args:
        x: ascending places; may be few or many.
        y: the numbers there; those that are not finite are left out.
        words: what the picture shows.
    """
    pairs = [(a, b) for a, b in zip(x, y) if isfinite(a) and isfinite(b)]
    pairs = [pairs[k] for k in _thinned(range(len(pairs)))]
    low, high = min((b for _, b in pairs), default=0.0), max((b for _, b in pairs), default=1.0)
    left, right = (pairs[0][0], pairs[-1][0]) if pairs else (0.0, 1.0)
    places = [(EDGE + (a - left) / (right - left or 1.0) * (WIDTH - 2 * EDGE),
               EDGE + (high - b) / (high - low or 1.0) * (HEIGHT - 2 * EDGE)) for a, b in pairs]
    path = "".join(f"{'L' if k else 'M'}{a:.1f} {b:.1f}" for k, (a, b) in enumerate(places))
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in places) if len(places) <= 24 else ""
    return _svg(words, f'<path class="line" d="{path}"/>{dots}')


def _thinned(places: range) -> range:
    """At most so many of them, the first one and evenly spaced others."""
    return places[::max(1, -(-len(places) // _POINTS))]


def _svg(words: str, content: str) -> str:
    return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}" '
            f'preserveAspectRatio="none">{content}</svg>')
