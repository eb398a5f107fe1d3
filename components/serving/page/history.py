"""Remember how the judge's evidence went, so that a page can draw it. Judges nothing.

One worker writes: a line per look, appended, in one file per model beside the router snapshot; all workers read it.
So it outlasts a restart, and shows the same whichever worker answers.
"""

from __future__ import annotations

import asyncio

from components.serving.page.source import PageSource

LOOK_S = 1.0


async def keep_history(source: PageSource, every_s: float = LOOK_S) -> None:
    """Write down the evidence of every rollout until cancelled; exactly one worker of a gateway runs this."""
    while True:
        await asyncio.sleep(every_s)
        source.release_status()
