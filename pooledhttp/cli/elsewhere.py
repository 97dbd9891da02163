"""What the options of curl, wget and aria2 are called here, for the error about an unknown one."""

from __future__ import annotations

__all__ = ["fetch_advice"]

#: An option of `pooledhttp fetch`, and those of the other programs that mean it.
_SAME = {
    "--jobs": "-j --max-concurrent-downloads -Z --parallel --parallel-max --concurrency --threads",
    "--per-host": "--max-connection-per-server --parallel-max-host",
    "--retries": "-t --tries --retry --max-tries",
    "--max-time": "-m",
    "--stall": "-T --read-timeout --connect-timeout --speed-time",
    "--limit-rate": "--max-overall-download-limit --max-download-limit",
    "--low-speed": "-Y --speed-limit --lowest-speed-limit",
    "--per-host-rate": "-w --wait",
    "-d": "-P --directory-prefix --dir --output-dir",
    "-i": "-K --input-file",
    "-q": "-s --silent -S --show-error --no-verbose",
    "-A": "-U --agent",
    "-k": "--no-check-certificate --check-certificate",
    "--cookies": "-b --cookie --load-cookies",
    "--refresh": "-N --timestamping --conditional-get -z --time-cond",
    "--names": "--force-directories --create-dirs",
    "--mtime": "-R --remote-time",
    "--content-disposition": "-J --remote-header-name",
    "--proxy": "--all-proxy --http-proxy --https-proxy",
    "--cacert-only": "--ca-certificate",
    "--max-size": "--max-filesize -Q --quota",
    "--dry-run": "--spider -I --head",
    "--digest": "--checksum",
}

#: What has no option of the same meaning here.
_OTHER = {
    "-o -O --output --output-document --out --remote-name": "-d DIR says where files go, and "
    "--names how they are named",
    "-c -C --continue --continue-at -nc --no-clobber --skip-existing": "No option is needed: the "
    "same command, run again, goes on where it ended",
    "-L --location --max-redirect": "Redirects are followed",
    "-x": "aria2's -x is --per-host, curl's -x is --proxy",
    "-u --user --http-user --http-passwd": "Passwords are read from ~/.netrc, or --netrc-file",
    "-n --netrc": "~/.netrc is read anyway; --netrc-file names another",
    "-r --recursive --mirror -np -l --level": "Links in pages are not followed: give a list of "
    "URLs with -i",
    "-e --referer": "Use -H 'Referer: URL'",
    "--data -F --form --data-raw --post-data": "A list in JSON Lines has requests with bodies: "
    "-i FILE.jsonl",
    "--split": "Each file is fetched over one connection; see --per-host",
    "-v --verbose --debug": "What failed is in failures.txt; pooledhttp status DIR tells more",
}


def fetch_advice(option: str) -> str:
    """Return what to use instead of an option of another program; nothing if it is not known.

    Args:
        option: As it was given, perhaps with its value: `-j5`, `--retry=3`.
    """
    name = option.partition("=")[0]
    for each in (name, name[:2] if not name.startswith("--") else name):
        for ours, theirs in _SAME.items():
            if each in theirs.split():
                return f" Did you mean {ours!r}?"
        for theirs, advice in _OTHER.items():
            if each in theirs.split():
                return f" {advice}."
    return ""
