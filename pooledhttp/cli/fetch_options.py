"""The options of `pooledhttp fetch`."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pooledhttp.cli.config_file import ConfigFile
from pooledhttp.cli.numbers import bytes_count, count, count_or_zero, positive, positive_or_zero

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


__all__ = ["add_parser"]

_STALL_SECONDS = 60.0

_DESCRIPTION = """\
Fetch URLs into the files of a directory, many at once, over few connections.

The same command, run again after anything, fetches what is missing. What is
there is not asked for again, a file keeps its name, and a file that was not
fetched here is never replaced."""

_EPILOG = """\
examples:
  pooledhttp fetch -i urls.txt -d out
  pooledhttp fetch https://example.com/a.zip https://example.com/b.zip
  pooledhttp fetch -i list.csv.gz -d out --names tree --per-host 2 --rate 10
  generate | pooledhttp fetch -i - --format jsonl -d out --ok-if 0.99
  pooledhttp fetch -i out/failures.txt -d out     what failed, once more
  pooledhttp status out                           what is there now

exit status: 0 all is there, 1 some failed, 2 used wrongly, 3 files cannot be
used (the disk is full, the directory is in use), 130, 143, 129 ended by
SIGINT, SIGTERM, SIGHUP"""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch a list of URLs into files",
        usage="pooledhttp fetch [URL ...] [-i FILE] [-d DIR] [options]; see --help",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(usage_error=parser.error, advise=_advise)
    _add_basics(parser)
    _add_files(parser.add_argument_group("files"))
    _add_times(parser.add_argument_group("time and retries"))
    _add_pace(parser.add_argument_group("pace (default: no limit)"))
    _add_requests(parser.add_argument_group("requests"))
    _add_trust(parser.add_argument_group("TLS"))
    _add_workers(parser.add_argument_group("more than one process"))
    return parser


def _advise(option: str) -> str:
    """Return what to use instead of an option of another program."""
    from pooledhttp.cli.elsewhere import fetch_advice  # which few runs need

    return fetch_advice(option)


def _add_basics(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("urls", nargs="*", default=[], metavar="URL", help="what to fetch")
    add(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="a list of URLs: .txt, .csv, .tsv or .jsonl, each also .gz; - for standard input; may"
        " be repeated",
    )
    add("--format", choices=("txt", "csv", "tsv", "jsonl"), help="of the lists (default: by name)")
    add(
        "--follow",
        action="store_true",
        help="go on with what is appended to the list, until its file is removed or a signal comes",
    )
    add("-d", "--directory", default=".", metavar="DIR", help="where the files go (default: here)")
    add("--jobs", type=count, default=32, metavar="N", help="requests at once (default: 32)")
    add("--per-host", type=count, default=6, metavar="N", help="of these to one host (default: 6)")
    add("--per-proxy", type=count, default=32, metavar="N", help="through one proxy (default: 32)")
    add("--ordered", action="store_true", help="report in the order of the input")
    add(
        "--engine",
        choices=("auto", "threads", "loop"),
        default="auto",
        help="what does the work: threads, or one event loop (needs greenlet); default: the loop"
        " where it can be used",
    )
    add("--dry-run", action="store_true", help="print what is missing, and fetch nothing")
    add(
        "--ok-if",
        type=_share,
        default=1.0,
        metavar="SHARE",
        help="exit status 0 if this part of all is there, such as 0.99 (default: 1)",
    )
    add("--config", action=ConfigFile, metavar="FILE", help="options in TOML, by the same names")
    add("-q", "--quiet", action="store_true", help="print nothing but failures and errors")


def _add_files(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--names",
        default="last",
        metavar="HOW",
        help="last: the URL's last segment (default); tree: host and path as directories; or a"
        " template such as '{host}/{name}'",
    )
    add(
        "--failures",
        metavar="FILE",
        help="where to list what is not done, as input for another run (default: failures.txt in"
        " DIR; none when all is well)",
    )
    add("--refresh", action="store_true", help="ask whether files that are there have changed")
    add("--overwrite", action="store_true", help="replace files that were not fetched here")
    add("--adopt", action="store_true", help="count files that have the names already as fetched")
    add(
        "--rebuild",
        action="store_true",
        help="begin a new journal, and adopt the files that are there",
    )
    add(
        "--decode",
        choices=("auto", "never", "always"),
        default="auto",
        help="undo a Content-Encoding that came although none was asked for (default: unless the"
        " file's name or type says that the coded form is the file)",
    )
    add(
        "--max-size",
        type=bytes_count,
        metavar="BYTES",
        help="refuse larger bodies (default: no limit)",
    )
    add(
        "--content-disposition",
        action="store_true",
        help="name new files as the server's Content-Disposition says",
    )
    add("--mtime", action="store_true", help="give files the time of their Last-Modified")
    add("--digest", metavar="NAME", help="record a digest of each file: sha256, md5, ...")


def _add_times(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--stall",
        type=positive,
        default=_STALL_SECONDS,
        metavar="SECONDS",
        help="give up on a server that is silent for so long (default: 60)",
    )
    add(
        "--max-time",
        "--timeout",
        dest="max_time",
        type=positive,
        metavar="SECONDS",
        help="for each file, all included (default: no limit)",
    )
    add(
        "--retries",
        type=count_or_zero,
        default=4,
        metavar="N",
        help="further attempts after a temporary failure (default: 4)",
    )


def _add_pace(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rate", type=positive, metavar="N", help="requests a second, in all")
    add("--per-host-rate", type=positive, metavar="N", help="requests a second, to each host")
    add("--limit-rate", type=bytes_count, metavar="BYTES", help="bytes a second, in all (500k, 2M)")
    add(
        "--low-speed",
        type=bytes_count,
        metavar="BYTES",
        help="give up a body that gets fewer a second for a minute, and try again",
    )


def _add_requests(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-H",
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send this header field; may be repeated",
    )
    add(
        "-A",
        "--user-agent",
        type=_user_agent,
        metavar="TEXT",
        help="instead of pooledhttp/VERSION",
    )
    add(
        "-X",
        "--request",
        dest="method",
        type=_method,
        metavar="METHOD",
        help="of URLs that have none (GET)",
    )
    add("--proxy", metavar="URL", help="for all requests; '' for none (default: *_PROXY variables)")
    add("--cookies", type=_existing, metavar="FILE", help="send these, in Netscape's format")
    add("--netrc-file", type=_existing, metavar="FILE", help="instead of ~/.netrc")


def _add_workers(group: argparse._ArgumentGroup) -> None:
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="work in N processes; all limits hold for them together",
    )
    where.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="work on the cluster of this scheduler, such as tcp://10.0.0.1:8786, or a scheduler"
        " file; DIR has to be on storage that all workers share",
    )

    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="fetch part I of N of the list, for the tasks of an array job; names of files get a"
        " mark of their URL, and status joins the journals",
    )


def _add_trust(group: argparse._ArgumentGroup) -> None:
    trust = group.add_mutually_exclusive_group()
    trust.add_argument(
        "--cacert",
        "--ca",
        "--verify",
        dest="ca",
        type=_existing,
        metavar="FILE",
        help="trust these CAs as well",
    )
    trust.add_argument("--cacert-only", type=_existing, metavar="FILE", help="trust these CAs only")
    trust.add_argument("-k", "--insecure", action="store_true", help="do not verify certificates")
    group.add_argument(
        "--cert", type=_certificate, metavar="FILE[:KEY]", help="present this client certificate"
    )


def _existing(text: str) -> str:
    """Check that there is such a file or directory."""
    if not os.path.exists(text):
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return text


def _certificate(text: str) -> str | tuple[str, str]:
    """Read the files of a client certificate and, behind a colon, of its key."""
    if os.path.exists(text):
        return text
    certificate, colon, key = text.rpartition(":")
    return (_existing(certificate), _existing(key)) if colon else _existing(text)


def _share(text: str) -> float:
    """Read a part of all, from 0 to 1."""
    value = positive_or_zero(text)
    if value > 1.0:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1 is wanted, not {text!r}")
    return value


def _shard(text: str) -> str:
    """Check that a shard is one."""
    from pooledhttp.bulk import shard_of

    try:
        return str(shard_of(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _header(text: str) -> tuple[str, str]:
    """Split a header field."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"'NAME: VALUE' is wanted, not {text!r}")
    return _checked_field(name.strip(), value.strip())


def _user_agent(text: str) -> str:
    """Check the value of the field User-Agent."""
    return _checked_field("User-Agent", text)[1]


def _checked_field(name: str, value: str) -> tuple[str, str]:
    """Return a header field if it can be sent."""
    from pooledhttp.message import check_header_validity

    try:
        check_header_validity((name, value))
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{name} has characters that latin-1 cannot encode: {value!r}"
        ) from None
    except ValueError as error:  # `InvalidHeader`
        raise argparse.ArgumentTypeError(str(error)) from None
    return name, value


def _method(text: str) -> str:
    """Check that a method is one."""
    from pooledhttp.message import PreparedRequest

    try:
        PreparedRequest().prepare_method(text)
    except ValueError as error:  # `InvalidHeader`
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
