"""Configure logs as the service does, and end with an error."""

from service_runtime import logs

logs.configure()
raise RuntimeError("on purpose")
