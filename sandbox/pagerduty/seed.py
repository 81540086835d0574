"""The demo account `acme`: who and what is there before anything happens. Data only."""

from sandbox.pagerduty.shapes import Doc, ref

ACCOUNT_KEY = "sandbox-account-key"
READ_ONLY_KEY = "sandbox-read-only-key"
USER_KEY = "sandbox-user-key-ana"
OAUTH_CLIENT_ID = "sandbox-client"
OAUTH_CLIENT_SECRET = "sandbox-client-secret"
WEBHOOK_SECRET = "sandbox-webhook-secret"
INTEGRATION_USER = "salesforce-sync@acme.example"
ROUTING_KEYS = {
    "PSUPP01": "5a0b0c0d0e0f4a1b8c2d3e4f50617281",
    "PSUPP02": "5a0b0c0d0e0f4a1b8c2d3e4f50617282",
    "PRENEW1": "5a0b0c0d0e0f4a1b8c2d3e4f50617283",
    "POPSYNC": "5a0b0c0d0e0f4a1b8c2d3e4f50617284",
    "PDEALS1": "5a0b0c0d0e0f4a1b8c2d3e4f50617285",
    "PCHECK1": "5a0b0c0d0e0f4a1b8c2d3e4f50617286",
}
OPS_ROUTING_KEY = ROUTING_KEYS["POPSYNC"]

ABILITIES = (
    "teams",
    "urgencies",
    "service_support_hours",
    "coordinated_responding",
    "incident_priority_activated",
    "incident_workflows",
    "incident_custom_fields",
)


def _user(identifier: str, name: str, email: str, role: str = "user") -> tuple[str, Doc]:
    return "user", {
        "id": identifier,
        "name": name,
        "email": email,
        "role": role,
        "time_zone": "Etc/UTC",
        "color": "purple",
        "avatar_url": None,
        "billed": True,
        "description": None,
        "invitation_sent": False,
        "job_title": None,
        "contact_methods": [],
        "notification_rules": [],
        "coordinated_incidents": [],
        "teams": [],
        "active": True,
    }


def _service(identifier: str, name: str, policy: str, team: str | None) -> tuple[str, Doc]:
    return "service", {
        "id": identifier,
        "name": name,
        "description": None,
        "created_at": "2026-01-05T09:00:00Z",
        "status": "active",
        "auto_resolve_timeout": None,
        "acknowledgement_timeout": None,
        "last_incident_timestamp": None,
        "alert_creation": "create_alerts_and_incidents",
        "incident_urgency_rule": {"type": "constant", "urgency": "high"},
        "escalation_policy": ref("escalation_policy", policy),
        "teams": [ref("team", team)] if team else [],
        "integrations": [],
        "addons": [],
        "support_hours": None,
        "scheduled_actions": [],
        "response_play": None,
        "routing_key": ROUTING_KEYS[identifier],
    }


def _policy(identifier: str, name: str, *levels: tuple[str, ...]) -> tuple[str, Doc]:
    return "escalation_policy", {
        "id": identifier,
        "name": name,
        "description": None,
        "num_loops": 0,
        "on_call_handoff_notifications": "if_has_services",
        "escalation_rules": [
            {
                "id": f"{identifier}{index}",
                "escalation_delay_in_minutes": 30,
                "targets": [ref("user", user) for user in users],
            }
            for index, users in enumerate(levels, start=1)
        ],
        "services": [],
        "teams": [],
    }


def _priority(level: int) -> tuple[str, Doc]:
    return "priority", {
        "id": f"PPRIO0{level}",
        "name": f"P{level}",
        "description": None if level > 2 else "Customers cannot work" if level == 1 else "Degraded",
        "color": ("a8171c", "eb6016", "f9b406", "555555", "777777")[level - 1],
        "order": 1 << (32 - level),
        "account_id": "PACME01",
    }


def _workflow(identifier: str, name: str) -> tuple[str, Doc]:
    return "incident_workflow", {
        "id": identifier,
        "name": name,
        "description": None,
        "created_at": "2026-01-05T09:00:00Z",
        "is_enabled": True,
        "team": None,
        "steps": [],
    }


def _incident_type(identifier: str, name: str, label: str) -> tuple[str, Doc]:
    return "incident_type", {
        "id": identifier,
        "name": name,
        "display_name": label,
        "description": None,
        "parent": None,
        "enabled": True,
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-01-05T09:00:00Z",
    }


def _custom_field(identifier: str, name: str, label: str, data_type: str) -> tuple[str, Doc]:
    return "custom_field", {
        "id": identifier,
        "incident_type": "PITDFLT",
        "name": name,
        "display_name": label,
        "description": None,
        "data_type": data_type,
        "field_type": "single_value",
        "default_value": None,
        "enabled": True,
        "field_options": None,
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-01-05T09:00:00Z",
    }


def resources() -> list[tuple[str, Doc]]:
    """Every (kind, document) of a fresh account, in the order lists show them."""
    return [
        _user("PUANA01", "Ana Lopez", "ana@acme.example", "admin"),
        _user("PUBEN01", "Ben Okafor", "ben@acme.example"),
        _user("PUCHI01", "Chiara Rossi", "chiara@acme.example"),
        _user("PUANA02", "Ana Lopez-Marsh", "ana.marsh@acme.example"),
        _user("PUSYNC1", "Salesforce Sync", INTEGRATION_USER, "limited_user"),
        ("team", {"id": "PTSUPP1", "name": "Support", "description": None, "parent": None}),
        _policy("PESUPP1", "Support on call", ("PUANA01",), ("PUBEN01",)),
        _policy("PESUPP2", "Support second line", ("PUBEN01",), ("PUCHI01",)),
        _policy("PERENEW", "Renewals desk", ("PUCHI01",)),
        _policy("PEOPS01", "Operations", ("PUBEN01",)),
        _service("PSUPP01", "Support P1", "PESUPP1", "PTSUPP1"),
        _service("PSUPP02", "Support P2", "PESUPP2", "PTSUPP1"),
        _service("PRENEW1", "Renewals", "PERENEW", None),
        _service("PDEALS1", "Deal desk", "PERENEW", None),
        _service("PCHECK1", "Checkout", "PESUPP1", None),
        _service("POPSYNC", "Ops sync", "PEOPS01", None),
        *(_priority(level) for level in range(1, 6)),
        _workflow("PWMAJOR", "Major incident"),
        _workflow("PWCOMMS", "Customer comms"),
        _incident_type("PITDFLT", "incident_default", "Base Incident"),
        _incident_type("PITMAJ1", "major_incident", "Major Incident"),
        _custom_field("PFCASE1", "sf_case_id", "Salesforce case", "string"),
        _custom_field("PFACCT1", "sf_account", "Salesforce account", "string"),
        _custom_field("PFSEAT1", "affected_seats", "Affected seats", "integer"),
    ]
