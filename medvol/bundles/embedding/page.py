"""The HTML page of embeddings: a map to point at, with a small slice of every case; one file, nothing from outside."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2
import numpy as np

from .colors import Coloring
from .file import Embeddings
from .map import Chart
from .neighbors import nearest
from .thumbnails import spread

__all__ = ["render"]

_MOST_POINTS = 3000  # that a browser on a phone still moves
_WIDTH, _HEIGHT = 760.0, 560.0
_FRAME = (60.0, 16.0, 16.0, 52.0)  # left, top, right, bottom: room for the axes' names

# The markers of colors.MARKERS as paths around (0, 0): circle, square, triangle, diamond, triangle down,
# plus, cross, and circles for "other" and "unknown".
_CIRCLE = "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z"
_PLUS = "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"
_CROSS = "M-6-3l3-3 3 3 3-3 3 3-3 3 3 3-3 3-3-3-3 3-3-3 3-3z"
_PATHS = (
    _CIRCLE, "M-5.3-5.3h10.6v10.6h-10.6z", "M0-6.6l6.6 12h-13.2z", "M0-7l6 7-6 7-6-7z", "M0 6.6l6.6-12h-13.2z", _PLUS,
    _CROSS, _CIRCLE, _CIRCLE,
)  # fmt: skip


def render(
    title: str,
    embeddings: Embeddings,
    chart: Chart,
    coloring: Coloring,
    pictures: Sequence[str | None],
    facts: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page as HTML that needs no other file.

    Args:
        title: what was embedded by what.
        embeddings: cases, vectors and what made them.
        chart: the map.
        coloring: the colors.
        pictures: data address of each case's thumbnail, None where it has none.
        facts: sentences to stand above the map, each with a state: "quiet" or "warning".

    Example:
        >>> import pandas as pd
        >>> from medvol.bundles.embedding.colors import color_cases
        >>> from medvol.bundles.embedding.map import project
        >>> table = pd.DataFrame({"case": ["a", "<b>", "c"], "patient": ["p", "q", "r"]})
        >>> found = Embeddings(table, np.arange(3), np.eye(3, dtype=np.float32), np.zeros(3, int))
        >>> page = render("demo", found, project(found.features), color_cases(None, None, 3), [None] * 3)
        >>> "&lt;b&gt;" in page, "<b>" in page
        (True, False)
    """
    shown = spread(len(embeddings.table), _MOST_POINTS)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    table, places = embeddings.table, _placed(chart.points[shown])
    near = nearest(embeddings.features[shown]) if not chart.note else np.zeros((len(shown), 0), int)
    rows = [
        {
            "case": str(table["case"].iloc[i]), "patient": str(table["patient"].iloc[i]),
            "section": str(table["section"].iloc[i]) if "section" in table else "",
            "text": coloring.texts[i], "color": coloring.colors[i], "path": _PATHS[coloring.markers[i]],
            "x": round(float(x), 1), "y": round(float(y), 1), "picture": pictures[i],
            "near": " ".join(map(str, near[row])),
        }
        for row, (i, (x, y)) in enumerate(zip(shown, places, strict=True))
    ]  # fmt: skip
    # The rare classes last, so that they lie on top.
    order = sorted(range(len(rows)), key=lambda row: -coloring.markers[shown[row]] % len(_PATHS))
    record = {"medvol": "", "weights": "", "run": {}, "left_out": [], **embeddings.record}
    settings = {
        "title": title, "record": record, "rows": rows, "order": order, "chart": chart,
        "coloring": coloring, "facts": facts, "paths": _PATHS, "width": _WIDTH, "height": _HEIGHT, "frame": _FRAME,
        "total": len(table), "pictured": sum(picture is not None for picture in pictures),
        "patients": table["patient"].nunique(), "features": embeddings.features.shape[1],
        "shades": _shades() if coloring.limits else [],
    }  # fmt: skip
    return environment.from_string(_PAGE).render(settings)


def _placed(points: np.ndarray) -> np.ndarray:
    """Return the points in the picture's units, with one scale for both axes and the second axis up."""
    left, top, right, bottom = _FRAME
    room = np.array([_WIDTH - left - right, _HEIGHT - top - bottom]) - 24
    low, high = points.min(0), points.max(0)
    extent = np.maximum(high - low, 1e-12)
    scale = float((room / extent).min()) if (high > low).any() else 0.0
    center = np.array([left + (_WIDTH - left - right) / 2, top + (_HEIGHT - top - bottom) / 2])
    return center + (points - (low + high) / 2) * scale * [1.0, -1.0]


def _shades() -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](i / 8)) for i in range(9)]


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: map of embeddings</title>
<style>
:root { color-scheme: light; --warning: #8a5300; --note: #2b5f8a; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 1200px; margin: 0 auto;
  padding: 1.25rem; }
h1 { font-size: 1.4rem; margin: 0 0 .75rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
.fact { border-left: 6px solid; padding: .6rem .9rem; background: #f5f5f5; overflow-wrap: anywhere; margin: 0 0 .5rem; }
.fact.warning { border-color: var(--warning); }
.fact.quiet { border-color: #888; }
.quiet { color: #555; }
#both { display: grid; grid-template-columns: minmax(0, 1fr) 17rem; gap: 1rem; align-items: start; }
svg { width: 100%; height: auto; border: 1px solid #ddd; border-radius: 6px; touch-action: manipulation; }
svg:focus-visible { outline: 2px solid var(--note); }
svg text { font: 14px system-ui, sans-serif; fill: #333; }
.point { stroke: #333; stroke-width: .8; cursor: pointer; }
.point.dim { opacity: .12; }
#ring { fill: none; stroke: #000; stroke-width: 2.5; pointer-events: none; }
#one { border: 1px solid #ddd; border-radius: 6px; padding: .75rem; overflow-wrap: anywhere; }
#one img { display: block; width: 12rem; max-width: 100%; background: #000; margin-bottom: .5rem; }
#one img:not([src]) { display: none; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .7rem; margin: 0; align-content: start; }
dt { color: #555; }
dd { margin: 0; }
#near { display: flex; flex-wrap: wrap; gap: .3rem; margin-top: .25rem; }
#near button { font: inherit; font-size: .8rem; border: 1px solid #bbb; background: #fff; border-radius: 4px;
  width: 4.6rem; padding: .15rem; cursor: pointer; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#near button:focus-visible { outline: 2px solid var(--note); }
#near img { display: block; width: 100%; height: 3.4rem; object-fit: contain; background: #000; margin: 0; }
#legend { display: flex; flex-wrap: wrap; gap: .15rem 1rem; margin: .5rem 0 0; padding: 0; list-style: none; }
#legend li { max-width: 100%; overflow-wrap: anywhere; }
#legend svg { width: 1.1em; height: 1.1em; border: 0; vertical-align: -.2em; margin-right: .25em; }
.bar { display: inline-block; width: 9rem; height: .8rem; vertical-align: -.05rem; border: 1px solid #333;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .75rem 0; }
.tools input { font: inherit; padding: .35rem .5rem; border: 1px solid #888; border-radius: 4px; flex: 1 1 14rem;
  max-width: 30rem; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #ddd;
  overflow-wrap: anywhere; }
th { background: #f5f5f5; } td img { display: block; width: 48px; background: #000; }
@media screen and (max-width: 760px) {
  body { padding: .75rem; } #both { display: block; } #one { margin-top: .5rem; display: grid;
    grid-template-columns: 8rem 1fr; gap: .6rem; }
  #one img { width: 8rem; } #one > p { grid-column: 1 / -1; } svg text { font-size: 20px; }
  th, td { padding: .3rem .25rem; }
}
@media print { .tools, #hint { display: none; } body { font-size: 11px; padding: 0; max-width: none; }
  .point, #legend svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr, #both { break-inside: avoid; } #both { display: block; } #one { display: none; } }
</style>
</head>
<body>
<h1>{{ title }}: map of embeddings</h1>
{% if chart.note %}
<p class="fact warning">{{ chart.note }}</p>
{% endif %}
{% for state, sentence in facts %}
<p class="fact {{ state }}">{{ sentence }}</p>
{% endfor %}
<p class="quiet">{{ total }} cases of {{ patients }} patients, {{ features }} features each.
{% if record.weights %}
Weights: {{ "an untrained encoder" if record.weights == "random" else record.weights[:8] }}
{%- if record.run and record.run.bundle %} ({{ record.run.bundle }}, run {{ record.run.run }}){% endif %}.
{% endif %}
{% if record.left_out %}
Left out, because they could not be read: {{ record.left_out[:5] | join(", ") }}
{%- if record.left_out | length > 5 %} and {{ record.left_out | length - 5 }} more{% endif %}.
{% endif %}
{% if rows | length < total %}
Every {{ (total / rows | length) | round(1) }}th case is shown here, {{ rows | length }} in all; the file has them all.
{% endif %}
{% if pictured < rows | length %}
{{ pictured }} of the {{ rows | length }} cases shown have a picture.
{% endif %}
</p>
{% if not chart.note %}
<div class="tools"><input id="search" type="search" placeholder="Find case, patient, value ..." aria-label="Find">
<span id="found" class="quiet" role="status"></span></div>
<div id="both">
<div>
<svg id="map" viewBox="0 0 {{ width }} {{ height }}" tabindex="0" role="listbox"
 aria-label="Map of {{ rows | length }} cases; arrow keys move from case to case">
<rect x="{{ frame[0] }}" y="{{ frame[1] }}" width="{{ width - frame[0] - frame[2] }}"
 height="{{ height - frame[1] - frame[3] }}" fill="#fcfcfc" stroke="#ccc"/>
<text x="{{ (width + frame[0]) / 2 }}" y="{{ height - 16 }}" text-anchor="middle">{{ chart.axes[0] }}</text>
<text transform="translate(28 {{ (height - frame[3]) / 2 }}) rotate(-90)"
 text-anchor="middle">{{ chart.axes[1] }}</text>
{% for i in order %}
{% set row = rows[i] %}
<path class="point" id="p{{ i }}" role="option" aria-selected="false" d="{{ row.path }}" fill="{{ row.color }}"
 transform="translate({{ row.x }} {{ row.y }})" aria-label="{{ row.case }}, patient {{ row.patient }}
{%- if coloring.name %}, {{ coloring.name }} {{ row.text }}{% endif %}" data-near="{{ row.near }}"/>
{% endfor %}
<circle id="ring" r="11" visibility="hidden"/>
</svg>
{% if coloring.name %}
<ul id="legend" aria-label="Colors"><li><strong>{{ coloring.name }}</strong></li>
{% if coloring.limits %}
<li>{{ "%.4g" | format(coloring.limits[0]) }}
<span class="bar" style="background: linear-gradient(to right, {{ shades | join(', ') }})"></span>
{{ "%.4g" | format(coloring.limits[1]) }}</li>
{% endif %}
{% for entry in coloring.legend %}
<li><svg viewBox="-8 -8 16 16" aria-hidden="true"><path class="point" d="{{ paths[entry.marker] }}"
 fill="{{ entry.color }}"/></svg>{{ entry.text }} ({{ entry.count }})</li>
{% endfor %}
</ul>
{% endif %}
</div>
<div id="one" aria-live="polite"><dl><dt>case</dt><dd id="case">none chosen</dd></dl></div>
</div>
<p id="hint" class="quiet">Point at a mark, tap it, or use the arrow keys. The map shows a part of the distances only;
the nearest cases of the chosen one are found by all features.</p>
{% endif %}
<details{% if chart.note %} open{% endif %}>
<summary>All cases as a table</summary>
<table id="cases">
<thead><tr><th>slice</th><th>case</th><th>patient</th><th>section</th>{% if coloring.name %}<th>{{ coloring.name }}</th>
{%- endif %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><td>{% if row.picture %}<img src="{{ row.picture }}" alt="slice of {{ row.case }}">{% endif %}</td>
<td>{{ row.case }}</td><td>{{ row.patient }}</td><td>{{ row.section }}</td>
{%- if coloring.name %}<td>{{ row.text }}</td>{% endif %}</tr>
{% endfor %}
</tbody>
</table>
</details>
<p class="quiet">Slices: the first channel in the middle of the last axis, as the network gets it, for orientation and
not for diagnosis. Made by medvol {{ record.medvol }}. This page names cases and shows parts of images: treat it like
the data themselves.</p>
{% if not chart.note %}
<script>
const map = document.getElementById("map"), ring = document.getElementById("ring");
const one = document.getElementById("one");
const heads = [...document.querySelectorAll("#cases thead th")].map(head => head.textContent);
const rows = [...document.querySelector("#cases tbody").rows];
const points = rows.map((row, i) => {
  const mark = document.getElementById("p" + i), at = mark.transform.baseVal.consolidate().matrix;
  return { mark, x: at.e, y: at.f };
});
let chosen = -1;
function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}
function picture(i) {
  const found = rows[i].cells[0].querySelector("img"), made = element("img");
  made.alt = found ? found.alt : "";
  if (found) made.src = found.src;
  return made;
}
function choose(i) {
  if (i === chosen) return;
  if (chosen >= 0) points[chosen].mark.setAttribute("aria-selected", "false");
  chosen = i;
  const { mark, x, y } = points[i];
  mark.setAttribute("aria-selected", "true");
  map.setAttribute("aria-activedescendant", mark.id);
  ring.setAttribute("cx", x); ring.setAttribute("cy", y); ring.setAttribute("visibility", "visible");
  const list = element("dl");
  heads.forEach((head, column) => {
    const text = rows[i].cells[column].textContent;
    if (column && text) list.append(element("dt", head), element("dd", text));
  });
  const near = element("div");
  near.id = "near";
  for (const other of mark.dataset.near.split(" ").filter(Boolean).map(Number)) {
    const button = element("button");
    button.type = "button";
    const name = rows[other].cells[1].textContent;
    button.title = name;
    button.append(picture(other), name.length > 9 ? "…" + name.slice(-8) : name);
    button.addEventListener("click", () => { choose(other); map.focus(); });
    near.append(button);
  }
  const title = element("p", "Nearest by all features:");
  title.className = "quiet";
  title.style.margin = ".6rem 0 0";
  title.append(near);
  one.replaceChildren(picture(i), list, title);
}
function nearestTo(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  let best = -1, least = 30 ** 2;
  points.forEach((point, i) => {
    const far = (point.x - at.x) ** 2 + (point.y - at.y) ** 2;
    if (far < least && !point.mark.classList.contains("dim")) { least = far; best = i; }
  });
  return best;
}
for (const kind of ["pointermove", "pointerdown"]) map.addEventListener(kind, event => {
  const best = nearestTo(event);
  if (best >= 0) choose(best);
});
const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
map.addEventListener("keydown", event => {
  if (event.key === "Home" || event.key === "End") choose(event.key === "Home" ? 0 : points.length - 1);
  else if (event.key in ways && chosen < 0) choose(0);
  else if (event.key in ways) {
    const [dx, dy] = ways[event.key], from = points[chosen];
    let best = -1, least = Infinity;
    points.forEach((point, i) => {
      const along = (point.x - from.x) * dx + (point.y - from.y) * dy;
      const aside = Math.abs((point.x - from.x) * dy) + Math.abs((point.y - from.y) * dx);
      if (i !== chosen && along > 0 && along + 2 * aside < least) { least = along + 2 * aside; best = i; }
    });
    if (best >= 0) choose(best);
  } else return;
  event.preventDefault();
});
map.addEventListener("focus", () => { if (chosen < 0) choose(0); });
const search = document.getElementById("search"), found = document.getElementById("found");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\\s+/);
  let count = 0;
  rows.forEach((row, i) => {
    const text = row.textContent.toLowerCase(), fits = words.every(word => text.includes(word));
    points[i].mark.classList.toggle("dim", !fits);
    row.hidden = !fits;
    count += fits;
  });
  found.textContent = search.value ? count + " of " + rows.length : "";
});
</script>
{% endif %}
</body>
</html>
"""
