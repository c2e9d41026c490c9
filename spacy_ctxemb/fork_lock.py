"""The one lock of this package."""

import concurrent.futures.thread  # noqa: F401 (its lock is to be taken after this one, at a fork too)
import os
from threading import RLock

#: For whatever threads may not do at the same time. A process that forks takes it first: so no
#: other thread holds it in the child, where that thread is missing and would never release it, and
#: nothing that it guards is half done there. One lock, so that no two wait for each other.
LOCK = RLock()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )
