"""What every runtime owes to the code that waits through it, run on each of them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme

from pooledhttp.runtime import BlockingRuntime, Interest, Runtime
from pooledhttp.timing import Deadline
from tests.support.evented import run_on_loop
from tests.support.garbage import collect
from tests.support.scheduler import Scheduler

Body = Callable[[Runtime], None]
Run = Callable[[Body], None]


def on_threads(body: Body) -> None:
    """Run on the blocking runtime."""
    body(BlockingRuntime())


def on_loop(body: Body) -> None:
    """Run inside a greenlet on an event loop."""
    run_on_loop(body)


def on_scheduler(body: Body) -> None:
    """Run as a task of the deterministic scheduler."""
    with Scheduler(seed=1) as scheduler:
        scheduler.spawn(lambda: body(scheduler), "body")
        scheduler.run()


@pytest.fixture(params=[on_threads, on_loop, on_scheduler])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a body on one of the runtimes."""
    chosen: Run = request.param
    return chosen


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that do not block."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        yield near, far


def after(runtime: Runtime, seconds: float) -> Deadline:
    """Make a deadline on the runtime's clock."""
    return Deadline.after(seconds, runtime.now)


def test_wait_tells_what_is_ready(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    """An idle socket can be written; one with data can be read as well."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        soon = after(runtime, 5)
        assert runtime.wait(near, True, True, soon) == (False, True)
        assert runtime.wait(near, False, True, soon) == (False, True)
        assert runtime.wait(near, True, False, after(runtime, 0.01)) == (False, False)
        far.send(b"x")
        assert runtime.wait(near, True, False, soon) == (True, False)
        assert runtime.wait(near, True, False, Deadline.never(runtime.now)) == (True, False)

    run(body)


def test_wait_after_the_deadline_still_looks(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    """With no time left, what is ready already is told; so a deadline of 0 is a probe."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        assert runtime.wait(near, True, False, after(runtime, 0)) == (False, False)
        far.send(b"x")
        assert runtime.wait(near, True, False, after(runtime, 0)) == (True, False)
        assert runtime.wait(near, True, False, after(runtime, -1)) == (True, False)
        assert runtime.wait_any([Interest(near, True, False)], after(runtime, 0)) == [0]

    run(body)


def test_hangup_and_closed_count_as_ready(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The next operation on a dead socket tells why; the wait only says that it will not block."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        far.close()
        soon = after(runtime, 5)
        assert runtime.wait(near, True, True, soon) == (True, True)
        near.close()
        assert runtime.wait(near, True, False, soon)[0]
        assert runtime.wait_any([Interest(near, True, False)], soon) == [0]

    run(body)


def test_refused_connection_counts_as_writable(run: Run) -> None:
    """A dial that fails ends the wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

    def body(runtime: Runtime) -> None:
        with socket.socket() as dialling:
            dialling.setblocking(False)
            dialling.connect_ex(address)
            assert runtime.wait(dialling, False, True, after(runtime, 5)) == (False, True)
            assert dialling.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    run(body)


def test_wait_any_gives_the_indexes_that_are_ready(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Several sockets are watched at once; none ready gives an empty list at the deadline."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        reads = [Interest(near, True, False), Interest(far, True, False)]
        assert runtime.wait_any(reads, after(runtime, 0.01)) == []
        near.send(b"x")
        assert runtime.wait_any(reads, after(runtime, 5)) == [1]
        far.send(b"x")
        runtime.wait(near, True, False, after(runtime, 5))
        assert runtime.wait_any(reads, after(runtime, 5)) == [0, 1]
        both = [Interest(far, False, True), Interest(near, True, False)]
        assert runtime.wait_any(both, after(runtime, 5)) == [0, 1]

    run(body)


def test_waiter_is_raised_by_a_task_and_stays_up(run: Run) -> None:
    """A flag ends the wait for it, and every later one at once."""

    def body(runtime: Runtime) -> None:
        flag = runtime.waiter()
        assert not flag.is_set
        assert not flag.wait(after(runtime, 0.01))
        task = runtime.spawn(flag.set, "sets")
        assert flag.wait(after(runtime, 5))
        flag.set()
        assert flag.is_set
        assert flag.wait(after(runtime, 0))
        assert flag.wait(Deadline.never(runtime.now))
        assert task.join(after(runtime, 5))
        assert task.done

    run(body)


def test_waiter_is_raised_by_a_finalizer(run: Run) -> None:
    """Collecting garbage may end a wait."""

    class Dropped:
        def __init__(self, flag: object) -> None:
            self.flag = flag
            self.itself = self

        def __del__(self) -> None:
            self.flag.set()  # type: ignore[attr-defined]

    def body(runtime: Runtime) -> None:
        flag = runtime.waiter()
        Dropped(flag)
        runtime.spawn(collect, "collects")
        assert flag.wait(after(runtime, 5))

    run(body)


@pytest.mark.parametrize("run", [on_threads, on_loop], indirect=True)
def test_waiter_is_raised_by_another_thread(run: Run) -> None:
    """The flag may go up in a thread that the runtime knows nothing of."""

    def body(runtime: Runtime) -> None:
        for delay in (0.0, 0.02):
            flag = runtime.waiter()
            timer = threading.Timer(delay, flag.set)
            timer.start()
            assert flag.wait(after(runtime, 5))
            timer.join()

    run(body)


def test_sleep_lets_time_pass_and_others_run(run: Run) -> None:
    """Time moves by what was asked for; a spawned task gets its turn meanwhile."""

    def body(runtime: Runtime) -> None:
        ran: list[bool] = []
        start = runtime.now()
        task = runtime.spawn(lambda: ran.append(True), "beside")
        runtime.sleep(0.02)
        assert runtime.now() - start >= 0.019
        runtime.sleep(0)
        runtime.sleep(-1)
        assert task.join(after(runtime, 5))
        assert ran

    run(body)


def test_join_gives_up_at_its_deadline(run: Run) -> None:
    """A task that goes on is not waited for longer than asked."""

    def body(runtime: Runtime) -> None:
        flag = runtime.waiter()

        def wait() -> None:
            flag.wait(after(runtime, 10))

        task = runtime.spawn(wait, "waits")
        assert not task.join(after(runtime, 0.01))
        assert not task.done
        flag.set()
        assert task.join(after(runtime, 5))

    run(body)


@pytest.mark.parametrize("seconds", [5.0, None])
def test_blocking_call_returns_or_raises_as_the_function_does(
    run: Run, seconds: float | None
) -> None:
    """The result and the error come through, with a deadline and without."""

    def body(runtime: Runtime) -> None:
        deadline = Deadline.after(seconds, runtime.now)
        assert runtime.call_blocking(lambda: "done", deadline) == "done"
        with pytest.raises(ZeroDivisionError):
            runtime.call_blocking(lambda: 1 // 0, deadline)

    run(body)


def test_blocking_call_is_abandoned(run: Run) -> None:
    """At the deadline the caller goes on, whatever the function does."""

    def body(runtime: Runtime) -> None:
        gate = BlockingRuntime().waiter() if runtime.name != "scheduler" else runtime.waiter()
        with pytest.raises(TimeoutError):
            runtime.call_blocking(
                lambda: gate.wait(Deadline.after(10, runtime.now)), after(runtime, 0.02)
            )
        gate.set()

    run(body)


def test_current_tells_tasks_apart(run: Run) -> None:
    """The key is steady within a task and different in another that runs beside it."""

    def body(runtime: Runtime) -> None:
        keys: list[object] = []
        flag = runtime.waiter()

        def beside() -> None:
            keys.append(runtime.current())
            flag.wait(after(runtime, 5))

        task = runtime.spawn(beside, "beside")
        mine = runtime.current()
        runtime.sleep(0.01)
        assert runtime.current() == mine
        assert keys and keys[0] != mine
        flag.set()
        assert task.join(after(runtime, 5))

    run(body)


def test_forget_is_harmless_at_any_time(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    """It may be called twice, for an unknown socket, and for a closed one."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        runtime.forget(near)
        runtime.wait(near, True, True, after(runtime, 5))
        runtime.forget(near)
        runtime.forget(near)
        far.close()
        runtime.forget(far)

    run(body)


def test_a_socket_is_closed_by_the_runtime(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Whether it was waited for or not, and a second time without harm."""
    near, far = pair

    def body(runtime: Runtime) -> None:
        runtime.wait(near, True, True, after(runtime, 5))
        for sock in (near, near, far):
            runtime.close_socket(sock)
            assert sock.fileno() == -1

    run(body)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context that trust each other."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def drive(runtime: Runtime, tls: ssl.SSLSocket, step: Callable[[], bytes | None]) -> bytes | None:
    """Do one TLS operation, waiting for whatever it wants."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            ready = runtime.wait(tls, True, False, after(runtime, 5))
        except ssl.SSLWantWriteError:
            ready = runtime.wait(tls, False, True, after(runtime, 5))
        assert any(ready)


def test_tls_talks_over_it(run: Run, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Both ends of a TLS connection run as tasks beside each other, megabytes included."""
    payload = bytes(range(256)) * 4096

    def body(runtime: Runtime) -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        sender = contexts[0].wrap_socket(far, server_side=True, do_handshake_on_connect=False)
        reader = contexts[1].wrap_socket(
            near, server_hostname="localhost", do_handshake_on_connect=False
        )

        def send() -> None:
            drive(runtime, sender, sender.do_handshake)
            left = memoryview(payload)
            while left:
                sent = 0

                def step() -> None:
                    nonlocal sent
                    sent = sender.send(left[:65536])  # noqa: B023

                drive(runtime, sender, step)
                left = left[sent:]

        with sender, reader:
            task = runtime.spawn(send, "sends")
            drive(runtime, reader, reader.do_handshake)
            received = b""
            while len(received) < len(payload):
                received += drive(runtime, reader, lambda: reader.recv(65536)) or b""
            assert received == payload
            assert task.join(after(runtime, 5))

    run(body)
