"""What a service runs on: start, stop, settings, logs, health. It is the template's: don't edit it, updates reach it.

    service_runtime.prepare()             first in `__main__.py`: signals, logs, and an init when it is PID 1
    service_runtime.settings              Settings (ServerSettings, WorkerSettings) to inherit from; load() reads them
    service_runtime.logs.request_id       the id of the request in hand, to pass on to other services
    service_runtime.stop.stop             `requested` tells whether the service has been asked to stop; `await wait()`

A service with an HTTP API has these as well:

    service_runtime.server.serve()        serve an ASGI application until a stop, without losing a request; WebSockets
                                          as well, when the project depends on `websockets` (see `streams`)
    service_runtime.probes.probes()       the routes /healthz and /readyz
    python -m service_runtime.healthcheck the image's health check

And a worker these:

    service_runtime.loop.run()            do one job after the other until a stop
    python -m service_runtime.heartbeat   the image's health check
"""


def prepare() -> None:
    """Get this process ready to be a service. Call it before anything heavy is imported.

    As PID 1 it forks: see `init`. From then on SIGTERM and SIGINT ask for a stop, and every log line, warning and
    uncaught exception is a JSON object on stdout.
    """
    # None at the top: the health check would import them, every few seconds. And not in one place: what is imported
    # before the fork stays in the init's memory, and a signal that comes before `listen` is not heard.
    from service_runtime.init import fork_below_init

    fork_below_init()
    from service_runtime.stop import stop

    stop.listen()
    from service_runtime import logs

    logs.configure()
