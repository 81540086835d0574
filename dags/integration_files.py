"""
### Integration files

Holds no DAG. A file in `include/integrations/` that cannot be used has no DAGs in Airflow, and is told as the import
error of this file, with the file's name and the key. The DAGs of every other integration go on.
"""

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.settings import usable_integrations

_, errors = usable_integrations()
if errors:
    raise SettingsError("\n".join(str(error) for error in errors))
