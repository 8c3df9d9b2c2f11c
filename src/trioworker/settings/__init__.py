"""Settings: one table, from which flags, variables, errors and the check of the docs are drawn."""

from trioworker.settings.kinds import Address, LogFormat, LogLevel, UnknownFunctions
from trioworker.settings.reading import read_settings
from trioworker.settings.setting import Setting
from trioworker.settings.table import TABLE, Settings

__all__ = [
    "TABLE",
    "Address",
    "LogFormat",
    "LogLevel",
    "Setting",
    "Settings",
    "UnknownFunctions",
    "read_settings",
]
