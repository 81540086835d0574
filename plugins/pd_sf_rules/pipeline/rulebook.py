"""The rulesets in force: today's valid files of one integration, and the last good version of a broken one."""

from collections.abc import Collection
from dataclasses import dataclass

from pd_sf_rules.ledger import cursors, rulesets as versions
from pd_sf_rules.model import Source
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules
from pd_sf_rules.rules.loader import Ruleset, load_folder, load_text
from pd_sf_rules.settings import rulesets_folder
from pd_sf_rules.systems.salesforce.describe import field_types
