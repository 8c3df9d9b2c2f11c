"""The oracles: one class per invariant."""

from typing import Final

from sim.oracles.agents import OwnTags, ServersSweep, Woken
from sim.oracles.approvals import Decided
from sim.oracles.base import Finding, Oracle, Panel
from sim.oracles.batches import BatchesGated, Bounded, InOrder, LastChance, Modest
from sim.oracles.calm import NoDeadlock, NoStorm, Quiet
from sim.oracles.cancels import CancelHeard
from sim.oracles.endings import Deleted, Labelled, SecondChance
from sim.oracles.fallback import Fallback, RefusedAlone
from sim.oracles.families import Families
from sim.oracles.fence import Fenced, Leases, OneAtATime, SelfFence
from sim.oracles.flows import NothingStuck, StepByStep
from sim.oracles.follow_ups import Followed, RestFirst
from sim.oracles.following import HeardOut
from sim.oracles.handed_over import HandedOver
from sim.oracles.kept import KeptTogether
from sim.oracles.limits import NextInLine, SlotFilled, SlotsHeld, WithinLimit
from sim.oracles.liveness import GoesOn, Live, NobodyIdles, ReapedInTime
from sim.oracles.outcomes import AllOrNothing, OncePerClaim, Produced
from sim.oracles.places import Durable, NotEarly, NothingLost, Settled, Transitions
from sim.oracles.progress import ToldByItsOwn
from sim.oracles.retries import InTime, OnRecord, TriedAgain
from sim.oracles.reuse import Reused
from sim.oracles.schedules import InTurn, ScheduleGoesOn, TickOnce, TickWithItsEnd
from sim.oracles.slots import NoSlotIdles
from sim.oracles.stopping import (
    ExitsAsPromised,
    GivesBackAtOnce,
    NothingHeld,
    NothingUnexpected,
    StartsNothingMore,
    StopsInTime,
)
from sim.oracles.told import ToldRight
from sim.oracles.unique import FreeKeys, OneHolder

ORACLES: Final[tuple[type[Oracle], ...]] = (
    NothingLost, Transitions, Settled, Durable, NotEarly,
    Produced, OncePerClaim, AllOrNothing, ToldRight,
    Fenced, Leases, SelfFence, OneAtATime,
    Fallback, RefusedAlone,
    BatchesGated, LastChance, InOrder, Bounded, Modest,
    NothingHeld, StopsInTime, StartsNothingMore, GivesBackAtOnce,
    ExitsAsPromised, NothingUnexpected,
    Live, NobodyIdles, NoSlotIdles, ReapedInTime, GoesOn,
    Quiet, NoDeadlock, NoStorm, CancelHeard,
    Followed, RestFirst,
    TriedAgain, OnRecord, InTime, Reused,
    SlotsHeld, WithinLimit, NextInLine, SlotFilled,
    OneHolder, FreeKeys,
    TickOnce, TickWithItsEnd, InTurn, ScheduleGoesOn,
    HandedOver, ToldByItsOwn,
    Labelled, Deleted, SecondChance, HeardOut,
    OwnTags, ServersSweep, Woken,
    StepByStep, NothingStuck, Decided, KeptTogether,
    Families,
)  # fmt: skip

__all__ = ["ORACLES", "Finding", "Oracle", "Panel"]
