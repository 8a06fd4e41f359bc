"""Owners take turns in having a place."""

import asyncio

import pytest

from service.inference.slots import Slots


async def settled() -> None:
    """Everybody who can go on has gone on until the next wait."""
    for _ in range(10):
        await asyncio.sleep(0)


class House:
    """Those who wait for a place, and who has had one."""

    def __init__(self, places: int) -> None:
        self.slots = Slots(places)
        self.had: list[str] = []
        self.inside = 0
        self.most = 0
        self.go_on = asyncio.Semaphore(0)

    def enter(self, owner: str, name: str) -> "asyncio.Task[None]":
        """One who stays inside until it may go on."""

        async def stay() -> None:
            async with self.slots.place(owner):
                self.had.append(name)
                self.inside += 1
                self.most = max(self.most, self.inside)
                try:
                    await self.go_on.acquire()
                finally:
                    self.inside -= 1

        return asyncio.create_task(stay())


async def test_a_flood_keeps_nobody_waiting_for_more_than_one() -> None:
    """Ten of one owner, and one of each of two others, who come last."""
    house = House(1)
    tasks = [house.enter("flood", f"flood-{n}") for n in range(10)]
    await settled()
    tasks += [house.enter("b", "b"), house.enter("c", "c")]
    await settled()
    assert (house.had, house.slots.waiting) == (["flood-0"], 11)
    for _ in tasks:
        house.go_on.release()
    await asyncio.gather(*tasks)
    assert house.had[:5] == ["flood-0", "flood-1", "b", "c", "flood-2"]
    assert house.had[5:] == [f"flood-{n}" for n in range(3, 10)]
    assert house.most == 1


@pytest.mark.parametrize("places", [1, 3])
async def test_there_are_never_more_inside_than_places(places: int) -> None:
    """And all of them are used, also after some have left while they waited and others inside."""
    house = House(places)
    tasks = [house.enter(f"owner-{n % 4}", str(n)) for n in range(20)]
    await settled()
    assert house.inside == places
    for n in (0, 5, 6, 19):  # the first is inside
        tasks[n].cancel()
    await settled()
    for _ in tasks:
        house.go_on.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(map(int, house.had)) == [n for n in range(20) if n not in (5, 6, 19)]
    assert house.most == places
    last = [house.enter("late", f"late-{n}") for n in range(places)]
    await settled()
    assert house.had[-places:] == [f"late-{n}" for n in range(places)]
    for _ in last:
        house.go_on.release()
    await asyncio.gather(*last)


async def test_whoever_leaves_as_its_turn_comes_passes_it_on() -> None:
    """No place is lost."""
    house = House(1)
    first, second, third = (house.enter("a", name) for name in ("first", "second", "third"))
    await settled()
    house.go_on.release()
    while not first.done():  # noqa: ASYNC110  # until the second has its turn, and not a step longer
        await asyncio.sleep(0)
    second.cancel()
    await settled()
    house.go_on.release()
    await third
    assert "third" in house.had
    assert house.slots.waiting == 0
