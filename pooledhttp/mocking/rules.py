"""Which reply a request gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pooledhttp.mocking.exchanges import Reply, SentRequest, place
from pooledhttp.runtime import new_lock

__all__ = ["Rules"]

#: Method and URL in the form that `place` gives.
Key = tuple[str, str]


class _Rule:
    """The replies to one method and URL, in their order; the last one is used again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.used = 0

    @property
    def next(self) -> Reply:
        return self.replies[min(self.used, len(self.replies) - 1)]


class Rules:
    """The replies of a test, and the requests that were sent. Threads can share it."""

    def __init__(self) -> None:
        self.requests: list[SentRequest] = []
        self._rules: dict[Key, _Rule] = {}
        self._change = new_lock()

    def add(self, method: str, url: str, reply: Reply) -> None:
        """Add a reply to a method and URL."""
        self._rules.setdefault((method.upper(), place(url)), _Rule()).replies.append(reply)

    def check(self, method: str, url: str) -> None:
        """Check that there is a reply to a request.

        Raises:
            AssertionError: There is none.
        """
        self._find(method, url)

    def sent_to(self, method: str, url: str) -> list[SentRequest]:
        """Return the requests that were sent with a method to a URL."""
        wanted = (method.upper(), place(url))
        return [sent for sent in self.requests if wanted in _keys(sent.method, sent.url)]

    def unused(self) -> Iterator[str]:
        """Yield the method and URL of each rule with a reply that was not sent."""
        for (method, url), rule in self._rules.items():
            if rule.used < len(rule.replies):
                yield f"{method} {url}"

    def receive(self, sent: SentRequest) -> Reply:
        """Note a request, and return its reply."""
        rule = self._find(sent.method, sent.url)
        with self._change:
            reply = rule.next
            if reply.fault != "refuse":  # that one is for the next dial
                rule.used += 1
                self.requests.append(sent)
        return reply

    def refuses(self, origin: str) -> bool:
        """Whether a dial to an origin is to fail, because that is its next reply."""
        with self._change:
            for (_, url), rule in self._rules.items():
                if rule.next.fault == "refuse" and url.startswith(f"{origin}/"):
                    rule.used += 1
                    return True
        return False

    def _find(self, method: str, url: str) -> _Rule:
        for key in _keys(method, url):
            if key in self._rules:
                return self._rules[key]
        known = [f"{method} {url}" for method, url in self._rules]
        raise AssertionError(f"No reply was added to {method} {url}. There are: {known}")


def _keys(method: str, url: str) -> Sequence[Key]:
    """Return the keys of the rules for a request: with its query, and for all queries."""
    found = place(url)
    return (method.upper(), found), (method.upper(), found.partition("?")[0])
