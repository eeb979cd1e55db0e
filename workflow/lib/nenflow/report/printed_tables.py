"""A printed table as a file of its own that Word and LibreOffice open as a table, caption and notes included."""

from collections.abc import Mapping
from typing import Any

import jinja2

# Word knows few styles: rules above and below the head and below the last row are set on the cells themselves.
_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ table.caption }}</title>
<style>
body { font-family: "Times New Roman", serif; font-size: 10pt; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; font-weight: normal; padding: 1pt 8pt 1pt 0; }
thead th { font-weight: bold; border-top: 1.5pt solid black; border-bottom: 0.75pt solid black; }
tr.last th, tr.last td { border-bottom: 1.5pt solid black; }
tr.inset th { padding-left: 12pt; }
</style>
</head>
<body>
<p><b>{{ table.caption }}</b></p>
<table>
<thead>
<tr>{% for name in table.head %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in table.rows %}
<tr class="{{ 'inset ' if row.inset }}{{ 'last' if loop.last }}"><th scope="row">{{ row.name }}</th>
{%- for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% for note in notes if note %}
<p>{{ note }}</p>
{% endfor %}
</body>
</html>
"""
)


def render_table(table: Mapping[str, Any], simulated: bool) -> str:
    """A table's page.

    Args:
        table: caption, note, head (texts) and rows (name, cells, and inset for a level below its variable).
        simulated: whether its data are; it says so then.
    """
    return _PAGE.render(table=table, notes=[table["note"], "Simulated data." if simulated else ""])
