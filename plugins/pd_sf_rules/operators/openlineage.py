"""Data sets and facts in OpenLineage's own form. Needs its client: imported when its provider asks for it."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import attr
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, output_statistics_output_dataset

from pd_sf_rules.pipeline.datasets import Dataset


@attr.define
class SyncRunFacet(RunFacet):
    """What a step of the sync did: counts, the window of each stream, and the version of each ruleset by name."""

    integration: str
    direction: str
    syncRunId: str  # noqa: N815 - facets are in camel case
    counts: dict[str, int]
    windows: dict[str, list[str]]
    rulesets: dict[str, str]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Return the facet of the facts of pipeline/datasets.py."""
        return cls(
            integration=facts["integration"],
            direction=facts["direction"],
            syncRunId=facts["run_id"],
            counts=dict(facts["counts"]),
            windows=dict(facts.get("windows", {})),
            rulesets=dict(facts.get("rulesets", {})),
        )


def inputs(read: Iterable[Dataset]) -> list[InputDataset]:
    """Return what was read."""
    return [InputDataset(namespace=one.namespace, name=one.name) for one in read]


def outputs(written: Iterable[Dataset]) -> list[OutputDataset]:
    """Return what was written, with OpenLineage's own facet for how many rows."""
    return [
        OutputDataset(
            namespace=one.namespace,
            name=one.name,
            outputFacets={}
            if one.rows is None
            else {
                "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    rowCount=one.rows
                )
            },
        )
        for one in written
    ]
