"""Ruleset texts that the rule tests share."""

WHOLE_FILE = """\
version: 1
name: Critical cases
enabled: true                     # a file without it is off
integration: default
mode: live
rules:
  - name: Page support on a critical case
    object: Case
    run_on: salesforce
    scope: all
    when:
      all:
        - { field: Case.Priority, operation: equals, value: High }
        - { field: Case.Status, operation: changed_to, value: Escalated }
        - any:
            - { field: Case.Account.Type, operation: in, value: [Enterprise, Strategic] }
            - { field: Case.Subject, operation: matches, value: '(?i)\\boutage\\b' }
    actions:
      - create_incident:
          service: Support P1
          title: "Case {{ record.CaseNumber }}: {{ record.Subject }}"
          urgency: high
          priority: P1
      - update_record:
          fields: { Status: Escalated }

  - name: Mirror acknowledgement
    object: Case
    run_on: pagerduty
    when:
      all:
        - { field: event.type, operation: equals, value: acknowledge }
    actions:
      - update_record:
          fields: { Status: Working }
"""


def one_rule(
    when: str = "{ field: Case.Status, operation: is_not_blank }",
    actions: str = "[{ reopen_incident: {} }]",
    *,
    run_on: str = "salesforce",
    extra: str = "",
    name: str = "One",
    header: str = "enabled: true",
) -> str:
    """Return a file with one rule, whose condition and actions are given in YAML's flow style."""
    return (
        f"version: 1\nname: {name}\n{header}\nrules:\n  - name: Only rule\n    object: Case\n"
        f"    run_on: {run_on}\n{extra}    when: {when}\n    actions: {actions}\n"
    )
