"""Pages for people: one self-contained HTML file for a model, a comparison or a run.

How a page is put together:

1. A module per page (``model_page``) has a function that takes stored documents and returns the page as a text. It
   turns the documents into values that a template shows, and into charts.
2. ``charts`` draws inline SVG by a few functions. ``svg`` has what they share: elements, scales, a frame with axes. A
   mark has a class for its colour (``s0`` to ``s5``), so that one picture serves light, dark and print.
3. ``formats`` writes numbers, times and sizes for people. Templates have its functions as filters.
4. ``page.render`` fills a template. ``templates/page.html`` is the frame with the style, ``templates/parts.html`` has
   the macros: tiles, figures, tables that fold, lists of facts, notes, code.

A page has no script and loads nothing: its Content-Security-Policy forbids both. All text from documents is escaped, in
templates by Jinja2, in SVG by ``svg.tag``. Only Jinja2, MarkupSafe and the documents are imported, so that pages are
made on Airflow's side and in the worker.
"""
