"""`--config FILE`: options from a TOML file, under the names that they have on the command line.

What stands on the command line wins, wherever it stands, also over options that it excludes: where
a file says `insecure`, `--cacert-only` turns verification on. Options that may be repeated add up.
A name that is no option, or a value that the option does not take, is an error of usage that names
the file.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence

from pooledhttp.records import did_you_mean

__all__ = ["ConfigFile", "put_line_first"]


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
            with open(path, encoding="utf-8-sig") as file:  # editors may add the mark
                options = tomllib.loads(file.read())
        except (OSError, ValueError) as error:
            parser.error(f"--config: {path}: {error}")
        known = parser._option_string_actions
        defaults: dict[str, object] = {}
        said: dict[argparse.Action, str] = {}
        for name, value in options.items():
            action = known.get(f"--{name}")
            if action is None or action is self or isinstance(action, argparse._HelpAction):
                near = did_you_mean(name, (each[2:] for each in known if each.startswith("--")))
                parser.error(f"--config: {path}: there is no option {name!r}.{near}")
            defaults[action.dest] = _value(parser, action, path, name, value)
            said[action] = name
        if not hasattr(namespace, "own_defaults"):
            namespace.own_defaults = {
                each.dest: each.default for group in _exclusive(parser) for each in group
            }
        own = namespace.own_defaults
        for group in _exclusive(parser):
            here = [said[each] for each in group if each in said and defaults[each.dest]]
            if len(here) > 1:
                parser.error(f"--config: {path}: {' and '.join(here)} do not go together")
            if here:  # over what an earlier file says
                defaults = {each.dest: own[each.dest] for each in group} | defaults
        parser.set_defaults(**defaults)


def put_line_first(parser: argparse.ArgumentParser, line: argparse.Namespace) -> None:
    """Take back what files say and the command line excludes, such as `insecure` and `--cacert`.

    Args:
        parser: What has read the files.
        line: What it has found on the command line, with its own defaults and not those of files.
    """
    for group in _exclusive(parser):
        given = {each.dest for each in group if getattr(line, each.dest) != _own(line, each)}
        if given:
            others = [each for each in group if each.dest not in given]
            parser.set_defaults(**{each.dest: _own(line, each) for each in others})


def _own(line: argparse.Namespace, action: argparse.Action) -> object:
    return line.own_defaults[action.dest]


def _exclusive(parser: argparse.ArgumentParser) -> list[list[argparse.Action]]:
    """Return the groups of options of which one may be given."""
    return [group._group_actions for group in parser._mutually_exclusive_groups]


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
