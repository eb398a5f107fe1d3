"""Following a snapshot in this process: what is settled when, what is refused, and what is let go of."""

import asyncio
import gc
import weakref
from dataclasses import replace

from tests.following import route


def test_a_snapshot_that_says_nothing_new_changes_nothing(followed, placed):
    first = route(1, placed, 1, 2, stable=1, canary=2, weight=5)
    followed.write(first)

    async def scenario():
        table, judge, swaps = followed.gateway.table, followed.gateway.judges["sum"], followed.gateway.swaps
        for _ in range(3):
            followed.write(first)
            await followed.until(lambda: followed.gateway.seen_sequence == followed.sequence)
        assert followed.gateway.table.traffic == table.traffic
        assert followed.gateway.judges == {"sum": judge}
        assert followed.gateway.swaps == swaps

    followed.run(scenario)


def test_what_is_loaded_may_change_and_the_judge_goes_on(followed, placed):
    followed.write(route(1, placed, 1, stable=1))

    async def scenario():
        judge = followed.gateway.judges["sum"]
        followed.write(route(1, placed, 1, 2, 3, stable=1))
        await followed.until(lambda: followed.gateway.loaded == {"sum": (1, 2, 3)})
        followed.write(route(1, placed, 1, 3, stable=1))
        await followed.until(lambda: followed.gateway.loaded == {"sum": (1, 3)})
        assert followed.gateway.judges["sum"] is judge
        assert followed.gateway.table.traffic["sum"].judge is judge

    followed.run(scenario)


def test_a_version_that_nobody_names_any_more_leaves_memory(followed, placed):
    followed.write(route(1, placed, 1, 2, stable=1, canary=2, weight=5))

    async def scenario():
        traffic = followed.gateway.table.traffic["sum"]
        canary, judge = weakref.ref(traffic.canary), weakref.ref(traffic.judge)
        session = weakref.ref(traffic.canary.runtime)
        del traffic
        followed.write(route(2, placed, 1, stable=1))
        await followed.until(lambda: followed.gateway.revs == {"sum": 2})
        await asyncio.sleep(0.05)
        gc.collect()
        assert (canary(), session(), judge()) == (None, None, None)

    followed.run(scenario)


def test_a_model_that_is_named_no_more_is_let_go_of_and_stays_fenced(followed, placed):
    followed.write(route(5, placed, 1, stable=1))

    async def scenario():
        followed.write()
        await followed.until(lambda: followed.gateway.table.traffic == {})
        assert followed.gateway.judges == {}
        followed.write(route(4, placed, 1, stable=1))
        await followed.until(lambda: "older than 5" in followed.gateway.problems.get("sum", ""))
        assert followed.gateway.revs == {}
        followed.write(route(6, placed, 2, stable=2))
        await followed.until(lambda: followed.gateway.revs == {"sum": 6})
        assert followed.gateway.problems == {}

    followed.run(scenario)


def test_a_revision_fixes_the_bytes_of_its_versions(followed, placed):
    followed.write(route(1, placed, 1, 2, stable=1, canary=2, weight=5))

    async def scenario():
        other = {**placed, 2: replace(placed[2], ref=replace(placed[2].ref, digest=placed[3].ref.digest))}
        followed.write(route(1, other, 1, 2, stable=1, canary=2, weight=5))
        await followed.until(lambda: "another digest for version 2" in followed.gateway.problems.get("sum", ""))
        assert followed.gateway.table.traffic["sum"].canary.ref == placed[2].ref

    followed.run(scenario)


def test_without_a_judge_there_is_no_canary_and_the_way_back_is_open(followed, placed):
    followed.write(route(1, placed, 1, stable=1))

    async def scenario():
        (followed.board.folder / "rollouts").rename(followed.board.folder / "moved")
        (followed.board.folder / "rollouts").write_text("a file is in the way of the judge's counts")
        followed.write(route(2, placed, 1, 2, stable=1, canary=2, weight=50))
        await followed.until(lambda: "the judge cannot start" in followed.gateway.problems.get("sum", ""))
        assert followed.gateway.revs == {}
        traffic = followed.gateway.table.traffic["sum"]
        assert (traffic.stable.ref.version, traffic.canary, traffic.mirror) == (1, None, None)
        followed.write(route(3, placed, 2, 1, stable=2, previous=1))
        await followed.until(lambda: followed.gateway.revs == {"sum": 3})
        (followed.board.folder / "rollouts").unlink()
        followed.write(route(4, placed, 2, 3, stable=2, canary=3, weight=50))
        await followed.until(lambda: followed.gateway.revs == {"sum": 4} and not followed.gateway.problems)
        assert followed.gateway.table.traffic["sum"].canary.ref.version == 3

    followed.run(scenario)


def test_a_model_of_which_only_a_candidate_is_loaded_answers_pinned_requests_only(followed, placed):
    followed.write(route(0, placed, 1))

    async def scenario():
        assert followed.gateway.loaded == {"sum": (1,)}
        paths = followed.gateway.table.routes
        assert paths["/v2/models/sum/versions/1/infer"].model.ref == placed[1].ref
        assert paths["/models/sum/invocations"].model is None
        assert not followed.gateway.is_ready
        followed.write(route(1, placed, 1, stable=1))
        await followed.until(lambda: followed.gateway.is_ready)
        assert followed.gateway.table.routes["/models/sum/invocations"].model.ref == placed[1].ref

    followed.run(scenario)
