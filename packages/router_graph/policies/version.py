"""The version of a policy whose settings matter: decisions of one version are comparable."""

from __future__ import annotations

import hashlib
import json


def versioned(base: str, *settings: object) -> str:
    """The version with a digest of the settings; as it is where none is set."""
    if not any(settings):
        return base
    written = json.dumps(settings, sort_keys=True, default=str)
    return f"{base}-{hashlib.sha256(written.encode()).hexdigest()[:8]}"
