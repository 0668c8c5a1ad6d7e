"""`python -m noisedash.jobs.ray_probe HOST:PORT`: whether a Ray cluster lets this environment's token in.

A process of its own, because Ray reads its token mode when it is imported. The exit code is an `Answer`: GUARDED where
the cluster answers, REFUSED where it refuses the token or the want of one, NONE where there is no answer.
"""

import sys
from importlib import import_module

from ray.exceptions import AuthenticationError, RpcError

from noisedash.jobs.ray_access import Answer


def main(address: str) -> int:
    """Ask the cluster for its nodes."""
    try:
        import_module("ray._raylet").GcsClient(address=address).get_all_node_info()
    except AuthenticationError:
        return Answer.REFUSED.value
    except RpcError:
        return Answer.NONE.value
    return Answer.GUARDED.value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
