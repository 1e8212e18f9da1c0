"""Imports what a grown service imports; `make bench` adds this module to a freshly rendered project."""

import aiohttp
import alembic.command
import alembic.config
import celery
import cryptography.fernet
import google.protobuf.json_format
import grpc
import httpx
import jinja2
import jwt
import lxml.etree
import numpy
import orjson
import pandas
import PIL.Image
import prometheus_client
import psycopg
import redis
import sqlalchemy.orm
import structlog
import tenacity
import websockets
import yaml

__all__ = [
    "PIL",
    "aiohttp",
    "alembic",
    "celery",
    "cryptography",
    "google",
    "grpc",
    "httpx",
    "jinja2",
    "jwt",
    "lxml",
    "numpy",
    "orjson",
    "pandas",
    "prometheus_client",
    "psycopg",
    "redis",
    "sqlalchemy",
    "structlog",
    "tenacity",
    "websockets",
    "yaml",
]
