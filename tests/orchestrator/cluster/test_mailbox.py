"""Tests the mailbox between driver and training slots as a plain asyncio object, without Ray."""

import asyncio

from orchestrator.cluster.mailbox import Mailbox, SlotReady
from orchestrator.cluster.payloads import Task


def task(name: str) -> Task:
    return Task("{}", 0, (name,), None, None, "/storage")


def test_a_slot_keeps_its_task_until_it_is_finished() -> None:
    async def story() -> None:
        mailbox = Mailbox()
        await mailbox.offer([task("a"), task("b")])
        assert await mailbox.take(0) == task("a")
        assert await mailbox.take(0) == task("a")
        assert await mailbox.take(1) == task("b")
        assert await mailbox.finished(0) == task("a")
        assert await mailbox.finished(0) is None
        await mailbox.close()
        assert await mailbox.take(0) is None

    asyncio.run(story())


def test_further_workers_of_a_slot_follow_its_first_one() -> None:
    async def story() -> None:
        mailbox = Mailbox()
        waiting = asyncio.create_task(mailbox.follow(0, after=0))
        await mailbox.offer([task("a"), task("b")])
        await mailbox.take(0)
        first = await waiting
        assert first == (1, task("a"))
        # a worker that is restarted gets the unfinished task again
        assert await mailbox.follow(0, after=0) == first
        following = asyncio.create_task(mailbox.follow(0, after=1))
        await mailbox.finished(0)
        await mailbox.take(0)
        assert await following == (2, task("b"))
        ending = asyncio.create_task(mailbox.follow(0, after=2))
        await mailbox.finished(0)
        await mailbox.close()
        assert await ending is None

    asyncio.run(story())


def test_followers_wait_for_remaining_tasks_of_a_closed_mailbox() -> None:
    async def story() -> None:
        mailbox = Mailbox()
        await mailbox.offer([task("a")])
        await mailbox.close()
        following = asyncio.create_task(mailbox.follow(0, after=0))
        assert await mailbox.take(0) == task("a")
        assert await following == (1, task("a"))

    asyncio.run(story())


def test_messages_are_drained_once() -> None:
    async def story() -> None:
        mailbox = Mailbox()
        assert await mailbox.drain(0.01) == []
        await mailbox.post(SlotReady(0))
        await mailbox.post(SlotReady(1))
        assert await mailbox.drain(60.0) == [SlotReady(0), SlotReady(1)]
        assert await mailbox.drain(0.01) == []

    asyncio.run(story())


def test_a_task_that_a_dead_worker_took_is_given_to_its_replacement() -> None:
    """Ray does not cancel the call of a worker that died while it waited."""

    async def story() -> None:
        mailbox = Mailbox()
        dead, alive = (asyncio.create_task(mailbox.take(0)) for _ in range(2))
        await asyncio.sleep(0)
        await mailbox.offer([task("a"), task("b")])
        assert await dead == await alive == task("a")
        await mailbox.finished(0)
        assert await mailbox.take(0) == task("b")

    asyncio.run(story())


def test_a_slot_that_was_abandoned_takes_no_further_task() -> None:
    async def story() -> None:
        mailbox = Mailbox()
        dead = asyncio.create_task(mailbox.take(0))
        await asyncio.sleep(0)
        assert await mailbox.abandon(0) is None
        await mailbox.offer([task("a")])
        assert await dead is None
        assert await mailbox.take(1) == task("a")

    asyncio.run(story())
