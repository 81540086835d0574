"""Alembic runs this inside the transaction that `migrating.upgrade` opened."""

from alembic import context

from pd_sf_rules.ledger.migrating import VERSION_TABLE
from pd_sf_rules.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
