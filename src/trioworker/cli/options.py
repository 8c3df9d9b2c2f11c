"""Settings as flags: a command that takes `settings` gets one option per row of the table.

Rule of this file: typer is told of each flag's name and meaning and nothing of its type; every
value is read by `read_settings`, so a bad one is told in the same words wherever it came from.
"""

import inspect
import os
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any, Final

import typer

from trioworker.model.batching import Mode
from trioworker.settings import TABLE, Setting, Settings, read_settings

DATABASE: Final = ("database_url", "data_dir", "schema", "command_timeout_s")
EVERY: Final = tuple(TABLE)
OF_SERVERS: Final = tuple(
    name for name, setting in TABLE.items() if Mode.SERVER in setting.modes and name != "mode"
)


def takes_settings(
    names: Collection[str] = DATABASE, *, mode: Mode | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of the settings `names`; its parameter `settings` receives them.

    A command that is a `mode` of its own asks nobody for it.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_settings(**arguments: Any) -> None:  # noqa: ANN401 - what typer parsed
            flags = {name: _text(arguments.pop(name)) for name in names}
            settings = read_settings(flags, os.environ, names=names, mode=mode)
            command(settings=settings, **arguments)

        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [p for p in own if p.annotation is not Settings]
        parameters += [_parameter(TABLE[name]) for name in names]
        _pretend(with_settings, parameters)
        return with_settings

    return decorate


def _text(value: str | bool | None) -> str | None:  # noqa: FBT001 - as typer hands it over
    """What a flag was given as, in the words that a variable would use."""
    return str(int(value)) if isinstance(value, bool) else value


def _parameter(setting: Setting) -> inspect.Parameter:
    option: Any = typer.Option(
        setting.flag,
        help=f"{setting.help} ({setting.variable}, default {setting.default_is})",
        metavar=setting.kind.metavar or None,
        show_default=False,
        rich_help_panel="Settings",
    )
    kind = bool if setting.kind.flag_only else str
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _pretend(command: Callable[..., None], parameters: Collection[inspect.Parameter]) -> None:
    """Typer reads signature and annotations: let it see the command's own and the settings'."""
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    annotations: Mapping[str, Any] = {p.name: p.annotation for p in keyword_only}
    vars(command).update(__signature__=inspect.Signature(keyword_only))
    command.__annotations__ = dict(annotations)
    del vars(command)["__wrapped__"]
