"""What the tests of one process share is ended with pytest's session, or else with the process.

With xdist, a worker has ten seconds from the one to the other; a broker may take longer to end.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack

_shared = ExitStack()
at_end = _shared.callback
end = _shared.close
atexit.register(end)
