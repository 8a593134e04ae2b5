"""The traffics a load is made of, a file each."""

from bench.workload import Workload
from bench.workloads import assistant, burst, heavy, support, trace

WORKLOADS: dict[str, Workload] = {
    one.name: one
    for one in (
        support.WORKLOAD,
        support.BANKING77,
        assistant.WORKLOAD,
        heavy.WORKLOAD,
        trace.WORKLOAD,
        burst.WORKLOAD,
    )
}
