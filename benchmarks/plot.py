"""Draw the results of a benchmark: a small bar chart for each question, all recipes in each, ours in colour."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

BAR, GAP, TITLE, LABEL, WIDTH, MARGIN = 16, 6, 34, 150, 470, 18
COLUMNS = 2
# A reader's dark mode applies inside the picture too.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.note { font-size: 11px; fill: #57606a }
.bar { fill: #a8b1bb }
.ours { fill: #1f6feb }
rect.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #8d96a0 }
  .bar { fill: #57606a }
  .ours { fill: #4493f8 }
  rect.page { fill: #0d1117 }
}
"""

Bars = Sequence[tuple[str, float, str]]


def chart(title: str, bars: Bars, left: int, top: int) -> list[str]:
    """Return one chart at (left, top): its title, then a bar for each (name, value, value as text), ours first."""
    largest = max(value for _, value, _ in bars) or 1
    room = WIDTH - LABEL - 80
    lines = [f'<text class="title" x="{left}" y="{top + 16}">{escape(title)}</text>']
    for number, (name, value, text) in enumerate(bars):
        y = top + TITLE + number * (BAR + GAP)
        width = max(1.5, room * value / largest)
        kind = "bar" if number else "bar ours"
        lines += [
            f'<text x="{left + LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left + LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{left + LABEL + width + 6:.1f}" y="{y + 12}">{escape(text)}</text>',
        ]
    return lines


def plot(charts: Mapping[str, Bars], note: str) -> str:
    """Return an SVG picture with `charts` (title -> bars, ours first in each) in two columns, and a note below them."""
    height = TITLE + max(len(bars) for bars in charts.values()) * (BAR + GAP) + MARGIN
    lines = []
    for number, (title, bars) in enumerate(charts.items()):
        row, column = divmod(number, COLUMNS)
        lines += chart(title, bars, MARGIN + column * (WIDTH + MARGIN), MARGIN + row * height)
    bottom = MARGIN + -(-len(charts) // COLUMNS) * height
    lines.append(f'<text class="note" x="{MARGIN}" y="{bottom + 8}">{escape(note)}</text>')
    width, height = MARGIN + COLUMNS * (WIDTH + MARGIN), bottom + 8 + MARGIN
    size = f'width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>',
            f"<style>{STYLE}</style>",
            f'<rect class="page" {size}/>',
            *lines,
            "</svg>\n",
        ]
    )
