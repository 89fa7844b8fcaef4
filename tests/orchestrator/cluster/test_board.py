"""The board between driver and lanes, without Ray: an asyncio object."""

import asyncio

from orchestrator.cluster.board import Board, LaneReady, Task


def task(name: str) -> Task:
    return Task("{}", 0, (name,), None, None, "/storage")


def test_a_lane_keeps_its_task_until_it_is_finished() -> None:
    async def story() -> None:
        board = Board()
        await board.offer([task("a"), task("b")])
        assert await board.take(0) == task("a")
        assert await board.take(0) == task("a")
        assert await board.take(1) == task("b")
        assert await board.finished(0) == task("a")
        assert await board.finished(0) is None
        await board.close()
        assert await board.take(0) is None

    asyncio.run(story())


def test_further_workers_of_a_lane_follow_its_first_one() -> None:
    async def story() -> None:
        board = Board()
        waiting = asyncio.create_task(board.follow(0, after=0))
        await board.offer([task("a"), task("b")])
        await board.take(0)
        first = await waiting
        assert first == (1, task("a"))
        assert await board.follow(0, after=0) == first  # a worker that starts again is given the unfinished task again
        following = asyncio.create_task(board.follow(0, after=1))
        await board.finished(0)
        await board.take(0)
        assert await following == (2, task("b"))
        ending = asyncio.create_task(board.follow(0, after=2))
        await board.finished(0)
        await board.close()
        assert await ending is None

    asyncio.run(story())


def test_followers_stay_while_tasks_are_left_although_the_board_is_closed() -> None:
    async def story() -> None:
        board = Board()
        await board.offer([task("a")])
        await board.close()
        following = asyncio.create_task(board.follow(0, after=0))
        assert await board.take(0) == task("a")
        assert await following == (1, task("a"))

    asyncio.run(story())


def test_messages_are_drained_once() -> None:
    async def story() -> None:
        board = Board()
        assert await board.drain(0.01) == []
        await board.post(LaneReady(0))
        await board.post(LaneReady(1))
        assert await board.drain(60.0) == [LaneReady(0), LaneReady(1)]
        assert await board.drain(0.01) == []

    asyncio.run(story())


def test_a_task_that_a_dead_worker_took_is_given_to_the_one_in_its_place() -> None:
    """Ray does not cancel the call of a worker that died while it waited."""

    async def story() -> None:
        board = Board()
        dead, alive = (asyncio.create_task(board.take(0)) for _ in range(2))
        await asyncio.sleep(0)
        await board.offer([task("a"), task("b")])
        assert await dead == await alive == task("a")
        await board.finished(0)
        assert await board.take(0) == task("b")

    asyncio.run(story())


def test_a_lane_that_is_gone_takes_nothing_any_more() -> None:
    async def story() -> None:
        board = Board()
        dead = asyncio.create_task(board.take(0))
        await asyncio.sleep(0)
        assert await board.abandon(0) is None
        await board.offer([task("a")])
        assert await dead is None
        assert await board.take(1) == task("a")

    asyncio.run(story())
