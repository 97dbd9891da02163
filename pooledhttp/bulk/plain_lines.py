"""The plain URLs of a batch, registered many at a time.

Nearly every line of a list is a URL and nothing else, is new, and gets its plain name, or the one
with its mark, as in a list of many pages called `index.html`. What is to be known of such lines is
found out column by column: their names, their hashes, their rows. That costs a tenth of what a call
for each step of each line does. A line with anything special about it is left to the general way,
in its turn: the first line that asks for a name gets it.

```
items -> names, hashes -> tables: neither URL nor name is known -> rows, tasks
           `- none: the general way        `- one is: the name with a mark; else the general way
```
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pooledhttp.bulk.hashes import fresh_hash64
from pooledhttp.bulk.names import first_marked, folded, name_of_parts
from pooledhttp.bulk.urls import network_location, origin_of, plain_parts

__all__ = ["PlainLines"]

#: The origin and the last segment of a plain URL without query, whose name is that segment as it
#: is: `safe_part` would change nothing about it.
_SIMPLE = re.compile(
    r"(https?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?)(?:/[!-\"$->@-~]*)?/"
    r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z))"
    r"([A-Za-z0-9_][A-Za-z0-9_\-.=&,+@~]{0,199})(?<!\.)"
)


class PlainLines:
    """The items of a batch in columns. One that is not plain has a hash of 0 for its identity.

    Args:
        items: The items.
        taken: Names that are not given away, in the form that `folded` gives.
        standing: What stands in the directory, in the same form.
    """

    __slots__ = (
        *("_marked", "_standing", "_taken", "hosts", "identity_hashes", "keys", "lines"),
        *("name_hashes", "names", "urls"),
    )

    def __init__(
        self, items: Sequence[object], taken: Collection[str], standing: Collection[str]
    ) -> None:
        self._taken, self._standing = taken, standing
        #: The last item that was given the name with its mark.
        self._marked = -1
        self.urls: list[str] = []
        self.names: list[str] = []
        #: The names in the form that `folded` gives.
        self.keys: list[str] = []
        self.hosts: list[str] = []
        #: The lines of the engine that they queue in.
        self.lines: list[str] = []
        self.identity_hashes: list[int] = []
        self.name_hashes: list[int] = []
        find, origins = _SIMPLE.fullmatch, dict[str, tuple[str, str]]()
        add_url = self.urls.append
        add_name, add_key = self.names.append, self.keys.append
        add_host, add_line = self.hosts.append, self.lines.append
        add_identity, add_hash = self.identity_hashes.append, self.name_hashes.append
        for item in items:
            url = origin = name = key = ""
            if type(item) is str:
                url = item
                found = find(url)
                if found is not None:
                    origin, name = found.groups()
                    key = name.lower()
                else:
                    parts = plain_parts(url)
                    if parts is not None:
                        origin = f"{parts[0]}://{parts[1]}"
                        name = name_of_parts(parts[2], parts[3])
                        key = folded(name)
            add_url(url)
            add_name(name)
            add_key(key)
            if not name or key in taken or key in standing:
                add_identity(0)
                add_hash(0)
                add_host("")
                add_line("")
                continue
            known = origins.get(origin)
            if known is None:
                known = origins[origin] = network_location(origin), origin_of(origin)
            add_host(known[0])
            add_line(known[1])
            add_identity(fresh_hash64(url))
            add_hash(fresh_hash64(key))

    def mark_name(self, place: int) -> int:
        """Give a plain line the name with its mark, as `names.candidates` has it.

        Args:
            place: The item, whose name another job has.

        Returns:
            The hash of that name; 0 if it has that name already, or is not to have it.
        """
        if place == self._marked:
            return 0
        self._marked = place
        name = first_marked(self.names[place], self.urls[place].encode())
        key = folded(name)
        if key in self._taken or key in self._standing:
            return 0
        self.names[place], self.keys[place] = name, key
        self.name_hashes[place] = number = fresh_hash64(key)
        return number
