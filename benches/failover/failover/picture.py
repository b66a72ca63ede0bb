"""The phases of a switch as stacked bars: an SVG of its own."""

from __future__ import annotations

from html import escape

WIDTH, LEFT, BAR, GAP = 900, 20, 22, 44
COLOURS = ("#c9cdd3", "#8a8f98", "#2f6fde", "#7fb069", "#f0b429")
NAMES = ("noticed", "fenced", "replayed", "repointed", "the client's own pause before it tries again, and the operation")


def draw(rows: list[tuple[str, list[float], float | None]]) -> str:
    """Draws rows: title, seconds of each phase, seconds until a client's creation succeeded."""
    longest = max([total or sum(phases) for _, phases, total in rows], default=1)
    scale = (WIDTH - LEFT - 120) / max(longest, 0.1)
    parts, y = [], 50.0
    x = float(LEFT)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        parts.append(f"<rect x='{x:.0f}' y='12' width='12' height='12' fill='{colour}'/>")
        parts.append(f"<text x='{x + 17:.0f}' y='23'>{escape(name)}</text>")
        x += 30 + 7.0 * len(name)
    for title, phases, total in rows:
        parts.append(f"<text x='{LEFT}' y='{y:.0f}' font-weight='bold'>{escape(title)}</text>")
        x = float(LEFT)
        # The rest of what the client waited for; a switch may be over before its receipt is.
        rest = max((total or 0) - sum(phases), 0)
        for seconds, colour in zip([*phases, rest], COLOURS, strict=True):
            width = seconds * scale
            parts.append(f"<rect x='{x:.1f}' y='{y + 6:.1f}' width='{width:.1f}' height='{BAR}' fill='{colour}'/>")
            x += width
        label = "a long-lived client hung" if total is None else f"{total:.2f} s"
        parts.append(f"<text x='{x + 8:.1f}' y='{y + BAR:.1f}'>{label}</text>")
        y += BAR + GAP
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y:.0f}' font-family='sans-serif' font-size='13'>"
        f"<rect width='100%' height='100%' fill='white'/>{''.join(parts)}</svg>\n"
    )
