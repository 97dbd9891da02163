"""Watch a session: alerts while it runs, its numbers afterwards, and advice on the pool size.

Run it: python examples/monitoring.py
"""

from __future__ import annotations

from local_server import local_server

from pooledhttp import PoolConfig, Session
from pooledhttp.events import ConnectionOpened, Event
from pooledhttp.monitoring import Alert, PoolMonitor, connections_needed


def on_alert(alert: Alert) -> None:
    """Print an alert. A program would page its operator here."""
    print("ALERT" if alert.firing else "clear", alert.message)


def on_event(event: Event) -> None:
    """Print each connection that is opened."""
    if isinstance(event, ConnectionOpened):
        print("opened a connection to", event.origin)


def main() -> None:
    """Send requests, three of them at once with room for one idle connection, and print numbers."""
    config = PoolConfig(max_idle_per_host=1)
    with local_server() as base, Session(pool=config, listeners=[on_event]) as session:
        with PoolMonitor(session.pool, on_alert=on_alert, interval=60) as monitor:
            for number in range(20):
                session.get(f"{base}/{number}", timeout=5)
            responses = [session.get(f"{base}/{n}", stream=True, timeout=5) for n in range(3)]
            for response in responses:
                print("read", len(response.content), "bytes")
            monitor.check()

        for origin, numbers in session.pool.stats().origins.items():
            print(f"{origin}: {numbers.acquired} requests, {numbers.created} connections,")
            print(f"  {numbers.reuse_rate:.0%} reused, {numbers.exhausted} closed for lack of room")
    print("for 100 requests/s of 0.1 s, set max_per_host to", connections_needed(100, 0.1))


if __name__ == "__main__":
    main()
