"""Where the AWS console is: each partition has one of its own. Standard library only."""

from __future__ import annotations

_DOMAINS = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
_DOMAIN = "console.aws.amazon.com"


def console_domain(region: str) -> str:
    """The console's host for the partition of a region; of most regions if none is named."""
    return next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), _DOMAIN)


def console_of(region: str) -> str:
    """The URL at which a region's console begins."""
    return f"https://{region}.{console_domain(region)}"
