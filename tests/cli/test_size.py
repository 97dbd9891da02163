"""`pooledhttp size`."""

from __future__ import annotations

import pytest

from pooledhttp.cli.main import main


@pytest.mark.parametrize(
    ("rps", "duration", "size"),
    [("100", "0.1", "15"), ("1", "0.001", "1"), ("1000", "0.3", "450"), ("7", "1", "11")],
)
def test_the_answer_is_littles_law_with_half_as_much_again(
    rps: str, duration: str, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounded up, and alone on its line."""
    assert main(["size", "--rps", rps, "--duration", duration]) == 0
    assert capsys.readouterr().out == size + "\n"


@pytest.mark.parametrize("bad", ["0", "-1", "nan", "inf", "much"])
def test_numbers_that_are_no_load_are_refused(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the argument."""
    with pytest.raises(SystemExit) as ended:
        main(["size", "--rps", "1", f"--duration={bad}"])
    assert ended.value.code == 2
    assert "--duration" in capsys.readouterr().err
