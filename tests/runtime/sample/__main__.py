"""The entry point."""

import os

from service_runtime import serve, work

if __name__ == "__main__":
    name = os.environ.get("TEST_RUN", "sample.app:create_app")
    (work if "worker" in name else serve)(name)
