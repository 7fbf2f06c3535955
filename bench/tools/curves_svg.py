"""Curves as an SVG image: a few panels side by side, both axes logarithmic, no dependency.

One point for each measurement, straight lines between them, and the values beside the points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN_LEFT, MARGIN_TOP, GAP = 300, 240, 60, 44, 84
COLOURS = ("#1f5fa8", "#b5431e", "#3c7d3f")


@dataclass(frozen=True)
class Panel:
    """``lines`` are named lists of (x, y), all above zero."""

    title: str
    x_name: str
    y_name: str
    lines: dict[str, list[tuple[float, float]]]


def svg_of(panels: list[Panel]) -> str:
    """Return the image as text."""
    width = MARGIN_LEFT + len(panels) * (WIDTH + GAP)
    height = MARGIN_TOP + HEIGHT + 60
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            ' font-family="sans-serif" font-size="11">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        left = MARGIN_LEFT + number * (WIDTH + GAP)
        parts.append(f'<g transform="translate({left},{MARGIN_TOP})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    x_range, y_range = _decades([x for x, _ in points]), _decades([y for _, y in points])
    parts = [
        f'<text x="0" y="-24" font-size="13">{escape(panel.title)}</text>',
        f'<text x="0" y="-8" fill="#555">{escape(panel.y_name)}</text>',
        (
            f'<text x="{WIDTH / 2}" y="{HEIGHT + 34}" text-anchor="middle" fill="#555">'
            f"{escape(panel.x_name)}</text>"
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
    ]
    for power in range(x_range[0], x_range[1] + 1):
        x = _place(10.0**power, x_range) * WIDTH
        parts.append(f'<path d="M{x:.1f} 0V{HEIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT + 15}" text-anchor="middle">{_text(power)}</text>'
        )
    for power in range(y_range[0], y_range[1] + 1):
        y = (1 - _place(10.0**power, y_range)) * HEIGHT
        parts.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{_text(power)}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(_place(x, x_range) * WIDTH, (1 - _place(y, y_range)) * HEIGHT) for x, y in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(places, line, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle" fill="{colour}">'
                f"{value:.3g}</text>"
            )
        parts.append(f'<text x="8" y="{16 + 14 * number}" fill="{colour}">{escape(name)}</text>')
    return parts


def _decades(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # Room above the highest point, for the names of the lines.
    return low, max(high, low + 1) + 1


def _place(value: float, decades: tuple[int, int]) -> float:
    return (math.log10(value) - decades[0]) / (decades[1] - decades[0])


def _text(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
