"""The HTTP API."""

import hashlib
from pathlib import Path

from fastapi import FastAPI, UploadFile

from service_runtime.probes import probes

from .kinds import kind_of
from .settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the application, with its routes."""
    app = FastAPI()
    app.include_router(probes())
    notice = Path(settings.notice).read_text(encoding="utf-8")

    @app.get("/notice")
    async def tell() -> str:
        """Return what happens to uploads."""
        return notice

    @app.post("/files")
    def upload(file: UploadFile) -> dict[str, int | str]:
        """Return what is known of an upload."""
        kind = kind_of(file.file.read(4096))
        file.file.seek(0)
        digest = hashlib.sha256()
        while part := file.file.read(2**20):
            digest.update(part)
        return {"bytes": file.size or 0, "kind": kind, "sha256": digest.hexdigest()}

    return app
