"""The ledger: what was seen, decided and done, in SQLite or PostgreSQL.

Each module beside this one is the repository of one family of tables. Their functions take the connection of
`Ledger.begin()` or `Ledger.read()` first, so that callers compose several into one transaction.
"""

from pd_sf_rules.ledger.address import ledger_url
from pd_sf_rules.ledger.database import Ledger, open_ledger, rehearsed

__all__ = ["Ledger", "ledger_url", "open_ledger", "rehearsed"]
