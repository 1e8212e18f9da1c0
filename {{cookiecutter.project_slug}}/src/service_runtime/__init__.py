"""What a service runs on: start, stop, settings, logs, health. It belongs to the template, whose updates replace it.

    serve("package.app:create_app")      serve the ASGI application that this function makes, until a stop
    work("package.worker:create_job")    do the job that this function makes, again and again until a stop
    service_runtime.stop.stop            `requested` is true once a stop is requested; `await wait()` waits for it
    service_runtime.logs.request_id      the id of the current request, to pass on to other services

A function is named, not imported, so that signals and logs are ready before anything large is imported. It is called
with the `Settings` in the module `settings` of its package. ValueError: the name is not of the form module:function.
"""


def serve(name: str) -> None:
    """Serve until a stop, then exit: 0; 1 after a failure; 2 for wrong settings; 3 if it can't start or listen."""
    _run(name, "service_runtime.server")


def work(name: str) -> None:
    """Do jobs until a stop. Wrong settings end the process with exit status 2."""
    _run(name, "service_runtime.loop")


def _run(name: str, runner: str) -> None:
    from service_runtime.stop import stop

    stop.listen()  # first, since a signal that comes earlier is lost, or deadly
    import importlib
    import sys

    from service_runtime import logs

    logs.configure()
    module, _, function = name.partition(":")
    package = module.partition(".")[0]
    if not (package and function):
        raise ValueError(f"{name!r} is given; allowed: module:function, such as example_service.app:create_app")
    logs.trace(package)
    create = getattr(importlib.import_module(module), function)
    # If that has imported what makes a pool, its processes log like this one, also those of a forkserver.
    if multiprocessing := sys.modules.get("multiprocessing"):
        multiprocessing.set_forkserver_preload(["__main__", "service_runtime.pool"])
    from service_runtime.environment import load

    settings = load(importlib.import_module(f"{package}.settings").Settings)
    settings.apply()
    made = create(settings)
    importlib.import_module(runner).run(made, settings)
