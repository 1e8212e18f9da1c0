"""The job of the worker: mails from a queue, a stream of Redis, each sent at least once."""

import logging
import time
from itertools import chain
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from service_runtime.loop import GoOn, Job

from .settings import Settings

QUEUE, WORKERS = "mails", "senders"
WAIT = 500  # milliseconds for a mail to come, between two looks at a stop

logger = logging.getLogger(__name__)


def send(mail: dict[str, str], go_on: GoOn) -> bool:
    """Send a mail; return False when a stop came first, so that it has to be sent by another worker."""
    for _ in range(int(mail.get("steps", 1))):
        if not go_on():
            return False
        time.sleep(0.05)
    logger.info("sent", extra={"to": mail["to"]})
    return True


def create_job(settings: Settings) -> Job:
    """Return the job that is done again and again."""
    # Connects when it is needed; a queue that is silent counts as lost after 5 s.
    redis: Any = Redis.from_url(  # its types are also those of redis.asyncio
        settings.queue_url.get_secret_value(), decode_responses=True, socket_timeout=5, socket_connect_timeout=5
    )
    me = settings.queue_worker

    def read(place: str) -> list[tuple[str, dict[str, str]]]:
        """Return a mail that this worker took and has not acknowledged (from "0" on), or a new one (">")."""
        return [*chain.from_iterable(mails for _, mails in redis.xreadgroup(WORKERS, me, {QUEUE: place}, 1, WAIT))]

    def take() -> list[tuple[str, dict[str, str]]]:
        """Return the next mail, those first that were taken and not acknowledged; none after a while."""
        idle = int(settings.queue_patience * 1000)
        return read("0") or redis.xautoclaim(QUEUE, WORKERS, me, idle, count=1)[1] or read(">")

    def job(go_on: GoOn) -> None:
        """Send mails until a stop is requested, and acknowledge each once it is sent."""
        try:
            redis.xgroup_create(QUEUE, WORKERS, id="0", mkstream=True)
        except ResponseError:  # it is there
            logger.debug("the queue has its group")
        while go_on():
            for identity, mail in take():
                if send(mail, go_on):
                    redis.xack(QUEUE, WORKERS, identity)

    return job
