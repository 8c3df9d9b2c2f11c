"""Settings read as a command reads them, for the tests in this folder."""

from collections.abc import Mapping

from trioworker.errors import SettingsError
from trioworker.settings import Settings, read_settings


def read(flags: Mapping[str, str | None] | None = None, /, **variables: str) -> Settings:
    """The settings of a command with these flags (by name) and environment variables."""
    return read_settings(flags or {}, variables)


def told(flags: Mapping[str, str | None] | None = None, /, **variables: str) -> str:
    """The line that refuses them; empty when they are read."""
    try:
        read(flags, **variables)
    except SettingsError as error:
        return str(error)
    return ""


def refusal(flags: Mapping[str, str | None] | None = None, /, **variables: str) -> str:
    """The line that refuses them, which there must be."""
    message = told(flags, **variables)
    assert message, "they are read"
    assert message.isprintable(), message
    return message
