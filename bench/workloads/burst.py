"""Support tickets that come ten times as often for five seconds out of twenty."""

from bench.workload import Workload, bursting
from bench.workloads import support

WORKLOAD = Workload(
    name="burst",
    tickets=support.tickets,
    arrivals=bursting,
    knowledge=support.WORKLOAD.knowledge,
)
