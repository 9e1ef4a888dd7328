"""What every section of the settings is: a frozen Struct that checks itself when it is made."""

from __future__ import annotations

import difflib
import functools
import typing
from typing import Any, ClassVar, Self

import msgspec

from posewire.errors import ConfigurationError
from posewire.values import plain

HIDDEN = "<hidden>"
_SECRETIVE = ("sec", "key", "token", "password")


_JSON = {list: '["https://example.org"]', dict: '{"max_latency": 0.2}'}
"""How a list and a mapping are written in the environment."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One section of the settings.

    A value of the wrong type or out of range raises ``ConfigurationError`` with the key path, the value and what is
    allowed, whether it came from a file, the environment or an argument.
    """

    NAME: ClassVar[str] = ""
    SECRET: ClassVar[frozenset[str]] = frozenset()
    """Fields whose values never appear in a message."""

    def __post_init__(self) -> None:
        for key, kind in field_types(type(self)).items():
            value = self._checked(key, kind, getattr(self, key), strict=True)
            msgspec.structs.force_setattr(self, key, value)
        self.check()

    def check(self) -> None:
        """Raise ``ConfigurationError`` when values do not fit together. Overridden where they might not."""

    @classmethod
    def build(cls, values: dict[str, Any], *, texts: dict[str, str]) -> Self:
        """Make the section from a file's ``values`` and the environment's ``texts``, which win."""
        types = field_types(cls)
        for key, value in {**values, **texts}.items():
            if key not in types:
                raise cls.unknown(key, value)
        given = {key: cls._checked(key, types[key], value, strict=True) for key, value in values.items()}
        given |= {
            key: cls._checked(key, types[key], cls._parsed(key, types[key], text), strict=False)
            for key, text in texts.items()
        }
        return cls(**given)

    @classmethod
    def _parsed(cls, key: str, kind: Any, text: str) -> Any:
        """Return what the environment says of a list or a mapping, which it writes as JSON."""
        if typing.get_origin(kind) not in (list, dict):
            return text
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as exc:
            problem = f"expected JSON, as {_JSON[typing.get_origin(kind)]}: {exc}"
            raise ConfigurationError(f"{cls.NAME}.{key}", HIDDEN if key in cls.SECRET else text, problem) from None

    @classmethod
    def unknown(cls, key: str, value: Any) -> ConfigurationError:
        """Say that there is no such key, and which there are."""
        known = list(field_types(cls))
        close = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(known)}"
        return ConfigurationError(f"{cls.NAME}.{key}", shown(f"{cls.NAME}.{key}", value), f"unknown key; {hint}")

    @classmethod
    def _checked(cls, key: str, kind: Any, value: Any, *, strict: bool) -> Any:
        try:
            return msgspec.convert(plain(value), kind, strict=strict)
        except msgspec.ValidationError as exc:
            hidden = HIDDEN if key in cls.SECRET else value
            raise ConfigurationError(f"{cls.NAME}.{key}", hidden, _allowed(kind, exc)) from None


def shown(name: str, value: Any) -> Any:
    """Return ``value`` as a message may show it: a secret is not shown, even under a name that is misspelt."""
    if isinstance(value, dict):
        return f"keys {', '.join(map(str, value))}"
    return HIDDEN if any(part in name.lower() for part in _SECRETIVE) else value


def _allowed(kind: Any, exc: msgspec.ValidationError) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return f"allowed: {', '.join(map(str, typing.get_args(kind)))}"
    return str(exc)


@functools.cache
def field_types(cls: type[Section]) -> dict[str, Any]:
    """Return the fields of a section in order, each with its type and range."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls.__struct_fields__}
