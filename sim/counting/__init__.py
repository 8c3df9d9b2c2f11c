"""What `sim.counters` counts, in parts: each state where what it takes to notice it is remembered.

Rule of these files: they look at the same happenings as the oracles, and have no opinion on them.
"""

from typing import Final

from sim.counting.agents import Agents
from sim.counting.commits import Commits
from sim.counting.endings import Endings
from sim.counting.ends import Ends
from sim.counting.flows import Flows
from sim.counting.following import Following
from sim.counting.handing_over import HandingOver
from sim.counting.hands import InHand
from sim.counting.leases import Leases, Pulls
from sim.counting.limits import Limits
from sim.counting.part import Part
from sim.counting.ranks import Ranks
from sim.counting.restarts import Restarts
from sim.counting.retries import Retries
from sim.counting.running import Running
from sim.counting.schedules import Schedules
from sim.counting.unique import Keys

PARTS: Final[tuple[type[Part], ...]] = (
    Leases, Pulls, Commits, Ends, Limits, InHand, Keys, Ranks, Restarts, Retries, Running,
    Schedules, HandingOver, Endings, Following, Agents, Flows,
)  # fmt: skip
