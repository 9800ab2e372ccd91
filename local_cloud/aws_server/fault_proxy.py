"""``python -m local_cloud.aws_server.fault_proxy``: microburst, with the lengths of bodies.

microburst 0.10.0 takes ``Content-Length`` for a header of the connection and drops it: S3's answers come without.
"""

from __future__ import annotations

import sys

from microburst import cli, forward

if __name__ == "__main__":
    forward.HOP_BY_HOP = forward.HOP_BY_HOP - {"content-length"}
    sys.exit(cli.main())
