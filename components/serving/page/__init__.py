"""The release page: what is served, what is on its way, and why, as plain HTML. Changes nothing.

``GET /release`` shows all models, ``GET /release/{model}`` one of them. It is made on the server, needs no script, and
asks no other server for anything: a Content-Security-Policy forbids both. It reads the ledger's view
(``release-view.json`` beside the router snapshot), the live reports of the judges, and the history of evidence that
`keep_history` writes; it never reads the ledger itself, so that it also answers while the ledger is down.

To wire it into a gateway:

- routes ``/release`` and ``/release/…``, GET and HEAD only: ``await asyncio.to_thread(page.render, source, path)``;
- a gateway with a token asks `admits(header, token)` on these routes and answers `challenge()` where it says no;
- every worker runs the coroutine `keep_history(source)` as a background task; one of them at a time writes.
"""

from components.serving.page.access import admits, challenge
from components.serving.page.history import keep_history
from components.serving.page.pages import VIEW_FILE, render
from components.serving.page.source import PageSource

__all__ = ["VIEW_FILE", "PageSource", "admits", "challenge", "keep_history", "render"]
