"""Where the files beside the database live: simulated phones, control socket. Knows systemd's two variables."""

from __future__ import annotations

import os
from pathlib import Path

_SQLITE = "sqlite:///"


def state_folder(database: str, config: Path) -> Path:
    """Return systemd's state folder, else the folder of a SQLite `database` URL, else the configuration's."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if database.startswith(_SQLITE):
        return Path(database.removeprefix(_SQLITE)).parent
    return config.resolve().parent


def control_path(folder: Path) -> Path:
    """Return the control socket's path: in systemd's runtime folder, else in the state folder."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return (Path(given) if given else folder) / "control.sock"
