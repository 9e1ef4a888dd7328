"""What goes wrong in the lab.

NetlabError
├── SettingError   (also ValueError)   a setting that cannot be; names the field, the value and what was expected
└── LinkError      (also OSError)      the link could not be built, or died
"""

from __future__ import annotations


class NetlabError(Exception):
    """Every error the lab raises on purpose."""


class SettingError(NetlabError, ValueError):
    """A setting that cannot be.

    Args:
        field: Which one, such as ``rate``.
        value: What was given.
        expected: What would have been right.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}={value}: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


class LinkError(NetlabError, OSError):
    """The link could not be built, or its process is gone."""
