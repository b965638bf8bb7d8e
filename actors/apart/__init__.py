"""Work on other machines: it goes there as a pack of git objects, and what was made or measured comes back.

Nothing is shared but messages, or a folder or bucket that `workspace.url` names. A machine that has the commit already
gets no pack; one that is lost is replaced by another, and the journal answers there what was done before.

| object | role | lifetime |
|---|---|---|
| `Machines` | the machines that offer `builder`, and what this process has given to each | a run host |
| `Builders`, `Probers` | choose a machine for each piece of work, and try another where one dies | a run host |
| `Carrier` | how a commit travels: in the message, or through the place of `workspace.url` | a run host, a message |
| `Parcel` | a commit on its way: its name and, where it is not there yet, its pack | one message |
"""

from bessemer.actors.apart._builders import ApartJob, ApartResult, Builders, BuildJob, packed_result, placed_here
from bessemer.actors.apart._carrier import Carrier, store_of
from bessemer.actors.apart._machines import Machines
from bessemer.actors.apart._parcels import Answer, Parcel, arrived, forget_old_work
from bessemer.actors.apart._probers import Measurement, ProbeJob, Probers, ProbesResult, measured_here

__all__ = [
    "Answer",
    "ApartJob",
    "ApartResult",
    "BuildJob",
    "Builders",
    "Carrier",
    "Machines",
    "Measurement",
    "Parcel",
    "ProbeJob",
    "Probers",
    "ProbesResult",
    "arrived",
    "forget_old_work",
    "measured_here",
    "packed_result",
    "placed_here",
    "store_of",
]
