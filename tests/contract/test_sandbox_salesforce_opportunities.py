"""The simulated org's Opportunities: standard stages, and what follows from them."""

from sandbox.world import World


def test_a_stage_says_whether_it_is_closed_and_won(world: World) -> None:
    """IsClosed and IsWon follow the stage; nobody writes them."""
    org = world.salesforce
    deal = {"Name": "Renewal", "StageName": "Perception Analysis", "CloseDate": "2030-01-01"}
    record_id = org.create("Opportunity", {**deal, "NextStep": "Call", "Type": "Existing Business"})
    assert _flags(world, record_id) == (False, False)
    for stage, flags in (("Closed Won", (True, True)), ("Closed Lost", (True, False))):
        org.update(record_id, {"StageName": stage})
        assert _flags(world, record_id) == flags


def _flags(world: World, record_id: str) -> tuple[object, object]:
    found = world.salesforce.record(record_id)
    assert found is not None
    assert found["NextStep"] == "Call"
    return found["IsClosed"], found["IsWon"]
