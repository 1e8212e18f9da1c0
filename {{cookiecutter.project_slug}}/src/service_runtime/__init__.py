"""What a service runs on: start, stop, settings, logs, health. It belongs to the template, whose updates replace it.

    service_runtime.prepare()             first in `__main__.py`: signals, logs, and an init if this is PID 1
    service_runtime.settings              Settings (ServerSettings, WorkerSettings) to inherit from; load() reads them
    service_runtime.logs.request_id       the id of the current request, to pass on to other services
    service_runtime.stop.stop             `requested` is true once a stop is requested; `await wait()` waits for it

A service with an HTTP API also has

    service_runtime.server.serve()        serve an ASGI application until a stop, without losing a request; WebSockets
                                          as well, if the project depends on `websockets` (see `streams`)
    service_runtime.probes.probes()       the routes /healthz and /readyz
    python -m service_runtime.healthcheck the image's health check

and a worker has

    service_runtime.loop.run()            do one job after the other until a stop
    python -m service_runtime.heartbeat   the image's health check
"""


def prepare() -> None:
    """Prepare this process to be a service. Call it before importing anything large.

    As PID 1 it forks: see `init`. From then on SIGTERM and SIGINT request a stop, and every log line, warning and
    uncaught exception is a JSON object on stdout.
    """
    # Not imported at the top, since every health check imports this module; and one after the other, since imports
    # before the fork stay in the init's memory, and signals before `listen` are lost.
    from service_runtime.init import fork_below_init

    fork_below_init()
    from service_runtime.stop import stop

    stop.listen()
    from service_runtime import logs

    logs.configure()
