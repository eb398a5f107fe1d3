"""The judge that all workers of a gateway share: counts on a board, statistics from `components.judge`. Knows no HTTP.

To wire it into a gateway:

- when a model's split has a new revision, make one `LiveJudge(board, split, settings)` and put it into
  ``gateway.judges[model]``; ``close()`` the one before;
- send canary traffic only while ``judge.weight`` says so, and mirror only while not ``judge.stopped``;
- in the thread that runs a canary or a shadow: ``with judge.running(role): …`` (a process that dies in there is seen);
- ``answered``, ``mirrored``, ``dropped``, ``shadow_died`` and ``labelled`` are called on the event loop;
- the server calls ``flush()`` and ``obey_kill_switch()`` of every judge several times a second (`pulse`).
"""

from components.serving.judging.live_judge import LiveJudge

__all__ = ["LiveJudge"]
