"""What a hand-over of schedules says about pauses: none ends and none begins because something starts anew."""

import pytest

from pipelines.schedules.handover import with_pauses

TAGS = ["catch-up=latest", "resume=once", "absent-after-s=900"]
OURS = {"name": "monitoring", "tags": TAGS, "entrypoint": "pipelines.schedules.monitoring:scheduled_monitoring"}
THEIRS = {"name": "their own", "entrypoint": "elsewhere:flow"}


@pytest.mark.parametrize(
    ("part", "stopped", "paused", "expected"),
    [
        (OURS, {}, False, False),
        (OURS, {}, True, True),
        (OURS, {"monitoring": False}, True, False),
        (OURS, {"monitoring": True}, False, True),
        ({**OURS, "paused": True}, {}, False, True),
        ({**OURS, "paused": True}, {"monitoring": False}, False, False),
        ({**OURS, "paused": False}, {"monitoring": True}, False, True),
        (THEIRS, {}, True, False),
        (THEIRS, {"their own": True}, False, True),
        (THEIRS, {"their own": False}, True, False),
        ({**THEIRS, "paused": True}, {}, False, True),
    ],
)
def test_what_the_server_has_stays_as_it_is_and_what_is_new_does_as_it_is_told(part, stopped, paused, expected):
    content = {"name": "towpath", "pull": [{"step": {"directory": "{{ $ROOT }}"}}], "deployments": [part]}
    told = with_pauses(content, stopped, paused=paused)
    assert told == {**content, "deployments": [{**part, "paused": expected}]}
    assert content["deployments"] == [part], "the file's own content was changed"
