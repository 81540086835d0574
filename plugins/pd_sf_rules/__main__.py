"""`python -m pd_sf_rules`: the `pdsf` command."""

import sys

from pd_sf_rules.cli import main

sys.exit(main())
