"""The entry point."""

import os
import sys

from service_runtime import serve, work

if __name__ == "__main__":
    if missing := os.environ.get("TEST_WITHOUT"):
        sys.modules[missing] = None  # type: ignore[assignment]
    name = os.environ.get("TEST_RUN", "sample.app:create_app")
    (serve if "app" in name else work)(name)
