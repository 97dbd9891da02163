"""`--config FILE`: options from a TOML file, under the names that they have on the command line.

What stands on the command line wins, wherever it stands; options that may be repeated add up. A
name that is no option, or a value that the option does not take, is an error of usage that names
the file.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence

from pooledhttp.records import did_you_mean

__all__ = ["ConfigFile"]


class ConfigFile(argparse.Action):
    """Makes the options of a file the defaults, with which the command line is read again."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Read the file."""
        path = str(values)
        try:
            with open(path, "rb") as file:
                options = tomllib.load(file)
        except (OSError, ValueError) as error:
            parser.error(f"--config: {path}: {error}")
        known = parser._option_string_actions
        defaults = {}
        for name, value in options.items():
            action = known.get(f"--{name}")
            if action is None or action is self or isinstance(action, argparse._HelpAction):
                near = did_you_mean(name, (option.lstrip("-") for option in known))
                parser.error(f"--config: {path}: there is no option {name!r}.{near}")
            defaults[action.dest] = _value(parser, action, path, name, value)
        parser.set_defaults(**defaults)
        namespace.has_new_defaults = True


def _value(
    parser: argparse.ArgumentParser, action: argparse.Action, path: str, name: str, value: object
) -> object:
    """Return what the command line would have given for a value."""
    if isinstance(value, bool) != (action.nargs == 0) or isinstance(value, dict):
        kind = "true or false" if action.nargs == 0 else "a text or a number"
        parser.error(f"--config: {path}: {name} takes {kind}, not {value!r}")
    if isinstance(value, bool):
        return value
    is_list = isinstance(action, argparse._AppendAction)
    texts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    if not is_list and len(texts) != 1:
        parser.error(f"--config: {path}: {name} takes one value, not {value!r}")
    try:
        found = [parser._get_value(action, text) for text in texts]
        for each in found:
            parser._check_value(action, each)
    except argparse.ArgumentError as error:
        parser.error(f"--config: {path}: {error}")
    return found if is_list else found[0]
