"""The HTML page of a report: verdict, one line per kind, and a table that can be searched and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

from .finding import KINDS

if TYPE_CHECKING:
    from .report import Report

_MOST = 20_000  # rows that a browser on a phone still shows


def render(report: Report) -> str:
    """Return a report as HTML that needs no other file.

    Args:
        report: the findings.

    Example:
        >>> from medvol.data.checks.report import Report
        >>> "no error" in render(Report("demo", [], {"files": 1, "items": 1, "patients": 1, "seconds": 0.1}))
        True
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    more = max(len(report.findings) - _MOST, 0)
    state = "error" if report.errors else "warning" if report.findings else "good"
    if state == "warning" and all(finding.problem.severity == "note" for finding in report.findings):
        state = "good"
    shown = report.findings[:_MOST]
    return environment.from_string(_PAGE).render(report=report, kinds=KINDS, shown=shown, more=more, state=state)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.name }}: data report</title>
<style>
:root { color-scheme: light; --error: #b3261e; --warning: #8a5300; --note: #2b5f8a; --good: #1d6b34; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 1500px; margin: 0 auto;
  padding: 1.25rem; }
h1 { font-size: 1.4rem; margin: 0 0 .75rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
.verdict { border-left: 6px solid; padding: .6rem .9rem; background: #f5f5f5; overflow-wrap: anywhere; }
.verdict.error { border-color: var(--error); } .verdict.warning { border-color: var(--warning); }
.verdict.good { border-color: var(--good); }
.error .word { color: var(--error); } .warning .word { color: var(--warning); } .note .word { color: var(--note); }
.word { font-weight: 600; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #ddd;
  overflow-wrap: anywhere; }
th { background: #f5f5f5; position: sticky; top: 0; overflow-wrap: normal; }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid var(--note); }
th[aria-sort=ascending] button::after { content: " \\25B2"; } th[aria-sort=descending] button::after {
  content: " \\25BC"; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .5rem 0 .75rem; }
.tools input, .tools select { font: inherit; padding: .35rem .5rem; border: 1px solid #888; border-radius: 4px; }
.tools input { flex: 1 1 14rem; max-width: 30rem; }
.number { text-align: right; } .quiet { color: #555; }
#findings { table-layout: fixed; }
#findings th:nth-child(1) { width: 6.5rem; } #findings th:nth-child(2) { width: 10rem; }
#findings th:nth-child(3) { width: 6.5rem; } #findings th:nth-child(4) { width: 9rem; }
#findings th:nth-child(5) { width: 12rem; } #kinds td:nth-child(2) { white-space: nowrap; }
@media screen and (max-width: 760px) {
  body { padding: .75rem; } #kinds th, #kinds td { padding: .3rem .25rem; }
  #findings, #findings tbody, #findings tr, #findings td { display: block; width: 100%; }
  #findings thead, #kinds th:nth-child(4), #kinds td:nth-child(4) { display: none; }
  #findings tr { border: 1px solid #ccc; border-radius: 6px; margin-bottom: .6rem; padding: .25rem 0; }
  #findings tr[hidden] { display: none; }
  #findings td { border: 0; padding: .12rem .6rem; } #findings td:empty { display: none; }
  #findings td::before { content: attr(data-name) ": "; color: #555; }
}
@media print { .tools { display: none; } th { position: static; } body { font-size: 10px; padding: 0; max-width: none; }
  tr { break-inside: avoid; } }
</style>
</head>
<body>
<h1>Data report: {{ report.name }}</h1>
<p class="verdict {{ state }}">{{ report.verdict }}</p>
{% if report.findings %}
<h2>Kinds</h2>
<table id="kinds">
<thead><tr><th>severity</th><th>kind</th><th class="number">findings</th><th>what it looks at</th></tr></thead>
<tbody>
{% for (severity, kind), findings in report.groups().items() %}
<tr class="{{ severity }}"><td class="word">{{ severity }}</td><td>{{ kind }}</td>
<td class="number">{{ findings | length }}</td><td>{{ kinds.get(kind, "") }}</td></tr>
{% endfor %}
</tbody>
</table>
<h2>Findings</h2>
<div class="tools">
<input id="search" type="search" placeholder="Search case, file, value ..." aria-label="Search">
<select id="severity" aria-label="Severity"><option value="">every severity</option>
{% for severity in report.findings | map(attribute="problem.severity") | unique %}<option>{{ severity }}</option>
{% endfor %}</select>
<select id="kind" aria-label="Kind"><option value="">every kind</option>
{% for kind in report.findings | map(attribute="problem.kind") | unique %}<option>{{ kind }}</option>
{% endfor %}</select>
<span id="shown" class="quiet" role="status"></span>
</div>
<table id="findings">
<thead><tr>
{% for name in ["severity", "kind", "section", "case", "file", "expected", "found", "remedy"] %}
<th><button type="button">{{ name }}</button></th>
{% endfor %}
</tr></thead>
<tbody>
{% for one in shown %}
{% set p = one.problem %}
<tr class="{{ p.severity }}" data-rank="{{ loop.index }}"><td class="word" data-name="severity">{{ p.severity }}</td>
<td data-name="kind">{{ p.kind }}</td><td data-name="section">{{ one.section }}</td>
<td data-name="case">{{ one.case }}</td><td data-name="file">{{ one.file }}</td>
<td data-name="expected">{{ p.expected }}</td><td data-name="found">{{ p.found }}</td>
<td data-name="remedy">{{ p.remedy }}</td></tr>
{% endfor %}
</tbody>
</table>
{% if more %}
<p>{{ more }} more findings are in the JSON report.</p>
{% endif %}
<script>
const body = document.querySelector("#findings tbody"), rows = [...body.rows];
const search = document.getElementById("search"), shown = document.getElementById("shown");
const severity = document.getElementById("severity"), kind = document.getElementById("kind");
function filter() {
  const words = search.value.toLowerCase().split(/\\s+/);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(words.every(word => text.includes(word))
      && (!severity.value || row.cells[0].textContent === severity.value)
      && (!kind.value || row.cells[1].textContent === kind.value));
    count += !row.hidden;
  }
  shown.textContent = count + " of " + rows.length + " shown";
}
for (const field of [search, severity, kind]) field.addEventListener("input", filter);
document.querySelectorAll("#findings th").forEach((head, column) => head.addEventListener("click", () => {
  const up = head.getAttribute("aria-sort") !== "ascending";
  document.querySelectorAll("#findings th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  // Severities stand in the order of the report: error, warning, note.
  const key = row => column ? row.cells[column].textContent : row.dataset.rank;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  body.append(...rows.sort((a, b) => (up ? 1 : -1) * compare(key(a), key(b))));
}));
filter();
</script>
{% endif %}
</body>
</html>
"""
