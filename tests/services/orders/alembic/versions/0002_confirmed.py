"""Orders are confirmed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the change."""
    op.add_column("orders", sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()))
