"""The memory of requests: never more than there is, and never all of it for one owner."""

import pytest

from inphase.errors import TooLargeError
from service.door.budget import Budget, BusyError, ShareError, working_bytes


def test_what_fits_to_the_last_byte_is_taken_and_one_more_is_not() -> None:
    """What is given back can be taken again."""
    budget = Budget(100, 60)
    with budget.share("ada") as ada, budget.share("bob") as bob:
        ada.grow_to(60)
        bob.grow_to(40)
        with pytest.raises(BusyError, match="try again"):
            bob.grow_to(41)
        assert budget.used == 100
    assert budget.used == 0
    with budget.share("bob") as again:
        again.grow_to(60)


def test_two_requests_of_one_owner_leave_room_for_others() -> None:
    """Of half the budget each, the second one is refused, and somebody else's is not."""
    budget = Budget(100, 60)
    with budget.share("ada") as one, budget.share("ada") as two, budget.share("bob") as other:
        one.grow_to(50)
        with pytest.raises(ShareError, match="ada"):
            two.grow_to(50)
        other.grow_to(40)


def test_a_share_grows_and_never_counts_twice() -> None:
    """Less than what is held changes nothing."""
    budget = Budget(100, 100)
    with budget.share("ada") as share:
        for held in (10, 30, 20):
            share.grow_to(held)
        assert budget.used == 30


def test_what_can_never_fit_is_too_large_and_not_busy() -> None:
    """Also while others are at work; to check takes nothing."""
    budget = Budget(100, 60)
    with budget.share("ada") as share, budget.share("bob") as other:
        other.grow_to(60)
        with pytest.raises(TooLargeError, match="crop the detector"):
            share.check(61)
        with pytest.raises(TooLargeError):
            share.grow_to(61)
        assert budget.used == 60


def test_the_cost_counts_voxels_and_not_only_bytes() -> None:
    """A voxel of one byte costs almost as much as one of four: it is made into the same floating-point numbers."""
    small, large = working_bytes(1000, 1000), working_bytes(1000, 4000)
    assert large - small == 3000
    assert small > 10 * 1000
