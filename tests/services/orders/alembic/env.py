"""How Alembic finds the database: as the service does."""

from alembic import context
from sqlalchemy import NullPool, create_engine

from orders.models import Base
from orders.settings import Settings
from service_runtime.settings import load

engine = create_engine(load(Settings).database_url.get_secret_value(), poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
