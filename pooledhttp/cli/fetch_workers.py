"""Where `pooledhttp fetch` works: `--workers` and `--dask`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.bulk import AnyExecutor

__all__ = ["open_executor"]

#: Options that say something about this machine or process, which a cluster's workers do not see.
_NOT_ON_A_CLUSTER = {
    "proxy": "--proxy: set HTTP_PROXY and HTTPS_PROXY where the workers are",
    "netrc_file": "--netrc-file: set NETRC where the workers are",
    "ca": "--cacert: use --cacert-only with a file that all workers see",
}

_CONNECT_SECONDS = 30

#: How the warning of a request without verification begins.
_UNVERIFIED = "ignore:Unverified HTTPS request"


def open_executor(args: argparse.Namespace, stack: ExitStack) -> AnyExecutor | None:
    """Return what the options say; None for this process.

    Args:
        args: The options.
        stack: What has to be undone at the end.

    Raises:
        ValueError: An option cannot be used on a cluster.
        ModuleNotFoundError: Dask is not installed.
        OSError: The scheduler cannot be reached.
    """
    if args.workers is not None and args.workers > 1:
        from pooledhttp.bulk import Workers

        if args.insecure:  # processes that are started get these options
            sys.warnoptions.append(_UNVERIFIED)
            stack.callback(sys.warnoptions.remove, _UNVERIFIED)
        return stack.enter_context(Workers(args.workers))
    return None if args.dask is None else _open_cluster(args, stack)


def _open_cluster(args: argparse.Namespace, stack: ExitStack) -> AnyExecutor:
    for name, advice in _NOT_ON_A_CLUSTER.items():
        if getattr(args, name) is not None:
            raise ValueError(f"--dask cannot be used with {advice}")
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--dask needs Dask: pip install distributed") from error
    where = {"scheduler_file" if os.path.isfile(args.dask) else "address": args.dask}
    connect: Callable[..., AbstractContextManager[AnyExecutor]] = Client
    return stack.enter_context(connect(**where, timeout=_CONNECT_SECONDS, set_as_default=False))
