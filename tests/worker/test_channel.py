"""The batch channel: bounded in items, in order, nothing lost at the close."""

import pytest
import trio
import trio.testing

from trioworker.worker.channel import BatchChannel, Signal


async def test_a_receiver_takes_all_that_waits_up_to_its_limit() -> None:
    """One receive empties what several sends have put, in order."""
    channel: BatchChannel[int] = BatchChannel(10)
    channel.put([1, 2])
    channel.put([3])
    assert await channel.receive(2) == [1, 2]
    assert await channel.receive(2) == [3]


@pytest.mark.usefixtures("autojump_clock")
async def test_who_wants_a_full_channel_waits_for_one() -> None:
    """And leaves to others what is less, also at the end."""
    channel: BatchChannel[int] = BatchChannel(3)
    taken: list[list[int]] = []

    async def take_full() -> None:
        try:
            while True:
                taken.append(await channel.receive(3, full=True))
        except trio.EndOfChannel:
            taken.append([])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_full)
        for item in range(4):
            await trio.testing.wait_all_tasks_blocked()
            channel.put([item])
        await trio.testing.wait_all_tasks_blocked()
        channel.close()
    assert taken == [[0, 1, 2], []]
    assert await channel.receive(3) == [3]


@pytest.mark.usefixtures("autojump_clock")
async def test_a_sender_waits_until_its_batch_fits() -> None:
    """The bound counts items: a batch that does not fit waits, one beyond the bound for empty."""
    channel: BatchChannel[int] = BatchChannel(3)
    channel.put([1, 2])
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            await channel.room_for(2)
            channel.put([3, 4])

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(channel) == 2
        assert channel.take(1) == [1]
    assert list(channel.items) == [2, 3, 4]
    assert channel.free == 0
    with trio.move_on_after(1) as waited:
        await channel.room_for(5)
    assert waited.cancelled_caught
    channel.take(3)
    await channel.room_for(5)


async def test_a_closed_channel_is_emptied_first() -> None:
    """What was put before the close is still received; then the end."""
    channel: BatchChannel[int] = BatchChannel(3)
    channel.put([1])
    channel.close()
    assert await channel.receive(5) == [1]
    with pytest.raises(trio.EndOfChannel):
        await channel.receive(5)


async def test_take_while_stops_at_the_first_unwanted() -> None:
    """Order is kept: nothing behind an unwanted item is taken."""
    channel: BatchChannel[int] = BatchChannel(5)
    channel.put([2, 4, 5, 6])
    assert channel.take_while(lambda item: item % 2 == 0, 10) == [2, 4]
    assert channel.take_while(lambda item: item % 2 == 1, 0) == []
    assert list(channel.items) == [5, 6]


async def test_a_signal_wakes_all_who_wait_and_remembers_nothing() -> None:
    """Those who wait go on; those who come later wait for the next one."""
    signal = Signal()
    woken: list[int] = []

    async def wait(number: int) -> None:
        await signal.wait()
        woken.append(number)

    signal.set()
    async with trio.open_nursery() as nursery:
        for number in (1, 2):
            nursery.start_soon(wait, number)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == []
        signal.set()
    assert sorted(woken) == [1, 2]
