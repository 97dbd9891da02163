"""Print the oldest versions of the dependencies that pyproject.toml allows, as constraints for pip.

python .ci/oldest.py > oldest.txt && pip install -e '.[test]' -c oldest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?>=(?P<version>[0-9][0-9A-Za-z.]*)")


def oldest(requirements: list[str]) -> list[str]:
    """Return `name==version` for each requirement that has a floor."""
    found = [FLOOR.match(requirement.replace(" ", "")) for requirement in requirements]
    return [f"{floor['name']}=={floor['version']}" for floor in found if floor is not None]


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    print("\n".join(oldest(project["dependencies"])))
