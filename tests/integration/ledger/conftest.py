"""Connections of each role to a fresh, migrated database."""

from collections.abc import AsyncIterator

import pytest_asyncio

from ledger.connect import Connection, connect, connect_dsn
from tests.support.postgres import Server, database, postgres
from tests.support.stored_log import log

__all__ = ["database", "log", "postgres"]


@pytest_asyncio.fixture
async def gateway(database: Server) -> AsyncIterator[Connection]:
    async with await connect(database.settings("gateway")) as connection:
        yield connection


@pytest_asyncio.fixture
async def operator(database: Server) -> AsyncIterator[Connection]:
    async with await connect(database.settings("operator")) as connection:
        yield connection


@pytest_asyncio.fixture
async def owner(database: Server) -> AsyncIterator[Connection]:
    async with await connect_dsn(database.dsn()) as connection:
        yield connection


@pytest_asyncio.fixture
async def superuser(database: Server) -> AsyncIterator[Connection]:
    async with await connect_dsn(database.dsn("postgres")) as connection:
        yield connection
