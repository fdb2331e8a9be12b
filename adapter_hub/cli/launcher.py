"""``accelerate launch`` in a process of its own, without its pages of tracebacks.

What went wrong has been said by the process in which it did.
"""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Launch what ``sys.argv`` says; exit as the first process did that failed."""
    from accelerate.commands.launch import main as accelerate_launch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        accelerate_launch()
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
    except SignalException as error:
        sys.exit(128 + int(error.sigval))


if __name__ == "__main__":
    main()
