"""The AWS console's address in each partition. Standard library only."""

from __future__ import annotations

_DOMAINS = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
_DOMAIN = "console.aws.amazon.com"


def console_domain(region: str) -> str:
    """The console's host name for the partition of a region.

    :param region: such as ``cn-north-1``; empty: the partition ``aws``.
    """
    return next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), _DOMAIN)


def console_of(region: str) -> str:
    """The base URL of the console of a region."""
    return f"https://{region}.{console_domain(region)}"
